/** What signoff needs at Pulumi Cloud: the webhook that rings, the rulesets that ask for approvals, the teams that carry the principals' rights. */

import type * as pulumi from "@pulumi/pulumi";
import * as cloud from "@pulumi/pulumiservice";
import { gateOf, organizationsOf } from "../config/gates";
import { partsOf } from "../config/names";
import type { ApprovalRule, Team } from "../config/settings";
import type { Site } from "./site";

/** What the webhook tells of. */
export const GROUPS = ["change_requests", "deployments", "environments"];

/** The action that a ruleset gates. The API takes it, and the provider passes it on; only the SDK's list of actions does not name it yet. */
const OPEN = "open" as cloud.TargetActionType;

/** The provider for a Pulumi Cloud of one's own; `undefined`: the one that the program is run with. */
export function provider({ settings }: Site): cloud.Provider | undefined {
  return settings.pulumiUrl === undefined ? undefined : new cloud.Provider("pulumi", { apiUrl: settings.pulumiUrl });
}

/**
 * A webhook in each organization whose stacks are gated, once `after` is there: with a new secret it comes only after the receiver that knows it.
 * (`api.OrganizationWebhook`, since the list of groups that `Webhook` knows lacks `change_requests`.)
 */
export function webhooks(
  { settings }: Site,
  url: pulumi.Output<string>,
  secret: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  if (!settings.webhook.manage) return;
  for (const organizationName of organizationsOf(settings.gates)) {
    new cloud.api.OrganizationWebhook(
      `webhook-${organizationName}`,
      {
        organizationName,
        name: settings.name,
        displayName: `signoff (${settings.name})`,
        active: true,
        format: "raw",
        groups: GROUPS,
        payloadUrl: url,
        secret,
      },
      {
        ...opts,
        // The provider can't read a secret back, so it has to be kept from being shown here.
        additionalSecretOutputs: ["secret", "secretCiphertext"],
        // Pulumi Cloud finds a webhook by these two, and the provider would look for the new name, which is not there yet (`pulumi stack rename` changes
        // it). The new one is made before the old one goes: for a moment both ring, which the receiver bears, and no delivery is lost between them.
        replaceOnChanges: ["name", "organizationName"],
      },
    );
  }
}

/**
 * The Open ruleset of an environment. It is what keeps the credentials shut, so neither `destroy` nor a line that is lost from the configuration may
 * open them: it is protected, so that either of them stops before it, and it stays at Pulumi Cloud when somebody has let go of it on purpose
 * (`pulumi state unprotect`; README, "Leave what is protected").
 */
export function approvalRule({ environment, approvals, approvers }: ApprovalRule, opts: pulumi.ResourceOptions): void {
  const { organization, project, name } = partsOf(environment);
  new cloud.ApprovalRule(
    `approval-${environment}`,
    {
      name: "signoff",
      enabled: true,
      targetActionTypes: [OPEN],
      environmentIdentifier: { organization, project, name },
      approvalRuleConfig: {
        numApprovalsRequired: approvals,
        allowSelfApproval: false,
        requireReapprovalOnChange: true,
        eligibleApprovers: approvers.map((who) => ("user" in who ? { user: who.user } : { teamName: who.team })),
      },
    },
    { ...opts, protect: true, retainOnDelete: true },
  );
}

/**
 * A principal's team: write on its stacks (admin where `destroy` may be asked for), open on the environments of its gates and on what they import, and
 * nothing else.
 */
export function principalTeam({ settings }: Site, team: Team, opts: pulumi.ResourceOptions): void {
  const { principal, name, members, stacks } = team;
  const gated = settings.gates.gate.filter((gate) => gate.principal === principal).map((gate) => gate.environment);
  const environments = new Set(gated.flatMap((environment) => [environment, ...(settings.imports[environment] ?? [])]));
  const [organization = ""] = [...environments].map((environment) => partsOf(environment).organization);
  const made = new cloud.Team(
    `team-${principal}`,
    {
      organizationName: organization,
      name,
      displayName: name,
      description: `signoff: what the principal ${principal} may do`,
      teamType: "pulumi",
      members,
    },
    opts,
  );
  const after = { ...opts, dependsOn: [made] };
  // Slashes between the parts, which have none: with hyphens, web-api/prod and web/api-prod would be called the same.
  for (const full of stacks) {
    const { project, name: stack } = partsOf(full);
    const { Admin, Edit } = cloud.TeamStackPermissionScope;
    const destroys = gateOf(settings.gates, full)?.operations.includes("destroy") === true;
    new cloud.TeamStackPermission(
      `team-${principal}/${project}/${stack}`,
      { organization, project, stack, team: name, permission: destroys ? Admin : Edit },
      after,
    );
  }
  for (const full of environments) {
    const { project, name: environment } = partsOf(full);
    new cloud.TeamEnvironmentPermission(
      `team-${principal}/${project}/${environment}`,
      { organization, project, environment, team: name, permission: cloud.EnvironmentPermission.Open },
      after,
    );
  }
}
