/** Runs the whole program against mocks that throw on every resource and every call that nobody expects, and keeps what it declared. */

import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { packaged } from "./archives";

export type Inputs = Record<string, unknown>;

/** A resource that the program declared. Secrets among its inputs are {@link Hidden}. */
export interface Declared {
  type: string;
  name: string;
  inputs: Inputs;
  urn: string;
  protect: boolean;
  retainOnDelete: boolean;
  /** The inputs whose change makes a new one, and whether that comes after the old one has gone. */
  replaceOnChanges: string[];
  deleteBeforeReplace: boolean;
  /** The resources that have to be there first, by URN. */
  after: string[];
}

/** What one run came to. */
export interface Run {
  resources: Declared[];
  /** Each output's value, and whether it is secret. */
  outputs: Record<string, { value: unknown; secret: boolean }>;
}

/** What a resource is declared with beside its inputs. */
type Options = Omit<Declared, "type" | "name" | "inputs">;

const NO_OPTIONS: Options = {
  urn: "",
  protect: false,
  retainOnDelete: false,
  replaceOnChanges: [],
  deleteBeforeReplace: false,
  after: [],
};

/** A secret value among inputs. */
export class Hidden {
  constructor(readonly value: unknown) {}
}

const REGION = "eu-central-1";
const ACCOUNT = "111122223333";
const SECRET_KEY = "4dabf18193072939515e22adb298388d";

/** Every kind of resource that the program may declare, and what it says beyond its inputs. */
const EXPECTED: Record<string, (name: string, inputs: Inputs) => Inputs> = {
  "aws:apigatewayv2/api:Api": (name) => ({
    apiEndpoint: `https://${name}.execute-api.${REGION}.amazonaws.com`,
    executionArn: `arn:aws:execute-api:${REGION}:${ACCOUNT}:${name}`,
  }),
  "aws:apigatewayv2/integration:Integration": () => ({}),
  "aws:apigatewayv2/route:Route": () => ({}),
  "aws:apigatewayv2/stage:Stage": () => ({}),
  "aws:cloudwatch/dashboard:Dashboard": () => ({}),
  "aws:cloudwatch/logGroup:LogGroup": (_, { name }) => ({ arn: arn("logs", `log-group:${name}`) }),
  "aws:cloudwatch/metricAlarm:MetricAlarm": () => ({}),
  "aws:dynamodb/table:Table": (name, inputs) => ({
    name: inputs.name ?? `${name}-1a2b3c`,
    arn: arn("dynamodb", `table/${inputs.name ?? name}`),
    streamArn: arn("dynamodb", `table/${inputs.name ?? name}/stream/2026-11-23T00:00:00.000`),
  }),
  "aws:dynamodb/tableItem:TableItem": () => ({}),
  "aws:iam/role:Role": (name) => ({ arn: `arn:aws:iam::${ACCOUNT}:role/${name}` }),
  "aws:iam/rolePolicy:RolePolicy": () => ({}),
  "aws:kms/key:Key": (name) => ({ arn: arn("kms", `key/${name}`) }),
  "aws:lambda/eventSourceMapping:EventSourceMapping": () => ({}),
  "aws:lambda/function:Function": (_, { name }) => ({ arn: arn("lambda", `function:${name}`) }),
  "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": () => ({}),
  "aws:lambda/permission:Permission": () => ({}),
  "aws:s3/bucket:Bucket": (name) => ({ arn: `arn:aws:s3:::${name}-1a2b3c`, bucket: `${name}-1a2b3c` }),
  "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": () => ({}),
  "aws:s3/bucketOwnershipControls:BucketOwnershipControls": () => ({}),
  "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": () => ({}),
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": () => ({}),
  "aws:s3/bucketVersioning:BucketVersioning": () => ({}),
  "aws:scheduler/schedule:Schedule": () => ({}),
  "aws:secretsmanager/secret:Secret": (_, { name }) => ({ arn: arn("secretsmanager", `secret:${name}-AbCdEf`) }),
  "aws:secretsmanager/secretVersion:SecretVersion": (_, { secretId }) => ({ arn: secretId }),
  "aws:sqs/queue:Queue": (_, { name }) => ({ arn: arn("sqs", `${name}`) }),
  "pulumi:providers:pulumiservice": () => ({}),
  "pulumiservice:api:OrganizationWebhook": () => ({}),
  "pulumiservice:index:ApprovalRule": () => ({}),
  "pulumiservice:index:Team": () => ({}),
  "pulumiservice:index:TeamEnvironmentPermission": () => ({}),
  "pulumiservice:index:TeamStackPermission": () => ({}),
  "random:index/randomPassword:RandomPassword": (name) => ({ result: secretOf(name) }),
  "signoff:aws:RustFunction": () => ({}),
  "signoff:aws:StreamWorker": () => ({}),
};

const CALLS: Record<string, (region: string) => Inputs> = {
  "aws:index/getRegion:getRegion": (region) => ({ region }),
  "aws:index/getCallerIdentity:getCallerIdentity": () => ({ accountId: ACCOUNT }),
};

/** What the password of this name is under the mocks. */
export function secretOf(name: string): string {
  return `generated-for-${name}`;
}

/** The kinds of resource that the mocks take. */
export const KINDS = Object.keys(EXPECTED);

/** Mocks that keep what is declared, and throw on what nobody expects; what that was stands in `surprises` too. `region` is what AWS says it is. */
export function mocks(resources: Declared[], surprises: string[], region = REGION): pulumi.runtime.Mocks {
  const surprised = (what: string) => {
    surprises.push(what);
    return new Error(`nobody expects ${what}`);
  };
  return {
    newResource: ({ type, name, inputs, id }) => {
      const says = EXPECTED[type];
      if (says === undefined) throw surprised(`a resource of type ${type}`);
      if (resources.some((other) => other.type === type && other.name === name)) {
        throw surprised(`a second ${type} of the name ${name}`);
      }
      resources.push({ type, name, inputs: hidden(inputs) as Inputs, ...NO_OPTIONS });
      const plain = bare(inputs) as Inputs;
      const state: Inputs = { name: plain.name ?? name, ...plain, ...says(name, plain) };
      // A secret's id is its ARN, as that of AWS's is.
      const itself = type === "aws:secretsmanager/secret:Secret" ? String(state.arn) : `${name}-id`;
      return { id: id || itself, state };
    },
    call: ({ token }) => {
      const answer = CALLS[token];
      if (answer === undefined) throw surprised(`a call of ${token}`);
      return answer(region);
    },
  };
}

/**
 * Runs the program with this configuration: keys without `signoff:` unless they are others', data as data. The archives are for the architecture that is configured, unless
 * `beside` says from where to run it. `stack` is the stack's name, and `region` what AWS says where it is.
 */
export async function run(
  config: Record<string, unknown>,
  secretKeys: string[] = ["tokens", "githubToken", "channelSecrets"],
  beside: string = packaged(config.architecture === "arm64" ? "arm64" : "x86_64"),
  stack = "test",
  region = REGION,
): Promise<Run> {
  process.chdir(beside);
  const resources: Declared[] = [];
  const options = new Map<string, Options>();
  const surprises: string[] = [];
  await pulumi.runtime.setMocks(mocks(resources, surprises, region), "signoff", stack, false);
  watch(options);
  configure(config, secretKeys);
  const exported = load();
  const outputs: Run["outputs"] = {};
  for (const [key, value] of Object.entries(exported)) {
    const output: pulumi.Output<unknown> = pulumi.output(value);
    const known = await new Promise<unknown>((resolve) => output.apply(resolve));
    outputs[key] = { value: known, secret: await pulumi.isSecret(output) };
  }
  await settled();
  for (const one of resources) Object.assign(one, options.get(`${one.type} ${one.name}`));
  if (surprises.length > 0) throw new Error(`nobody expects ${surprises.join(", ")}`);
  return { resources, outputs };
}

/** Has the program find this configuration. */
export function configure(config: Record<string, unknown>, secretKeys: string[]): void {
  const texts = Object.entries(config).map(([key, value]) => {
    return [key.includes(":") ? key : `signoff:${key}`, typeof value === "string" ? value : JSON.stringify(value)];
  });
  const secret = secretKeys.map((key) => `signoff:${key}`);
  pulumi.runtime.setAllConfig(Object.fromEntries(texts), secret);
}

interface Registration {
  getType(): string;
  getName(): string;
  getProtect(): boolean;
  getRetainondelete(): boolean;
  getReplaceonchangesList(): string[];
  getDeletebeforereplace(): boolean;
  getDependenciesList(): string[];
}
type Answer = (error: unknown, response?: { getUrn(): string }) => void;

/** Keeps the options of resources, which the mocks are not told. */
function watch(options: Map<string, Options>): void {
  const monitor = pulumi.runtime.getMonitor() as unknown as {
    registerResource(request: Registration, answer: Answer): unknown;
  };
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, answer) =>
    register(request, (error, response) => {
      options.set(`${request.getType()} ${request.getName()}`, {
        urn: response?.getUrn() ?? "",
        protect: request.getProtect(),
        retainOnDelete: request.getRetainondelete(),
        replaceOnChanges: request.getReplaceonchangesList(),
        deleteBeforeReplace: request.getDeletebeforereplace(),
        after: request.getDependenciesList(),
      });
      answer(error, response);
    });
}

/** Loads the program anew: every module of it, so that nothing of an earlier run is left. */
function load(): Record<string, unknown> {
  const root = path.resolve(__dirname, "..");
  for (const file of Object.keys(require.cache)) {
    const ours = file.startsWith(root) && !file.includes("node_modules") && !file.startsWith(__dirname);
    if (ours) Reflect.deleteProperty(require.cache, file);
  }
  return require(path.join(root, "index.ts"));
}

/** Waits until everything that was declared is known. */
async function settled(): Promise<void> {
  await pulumi.runtime.disconnect();
}

function arn(service: string, rest: string): string {
  return `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}`;
}

/** Inputs as they came, with secrets marked. */
function hidden(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hidden);
  if (!isData(value)) return value;
  if (SECRET_KEY in value) return new Hidden(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, hidden(one)]));
}

/** Inputs without the marks. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (!isData(value)) return value;
  if (SECRET_KEY in value) return bare(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, bare(one)]));
}

function isData(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !(value instanceof pulumi.asset.Archive);
}
