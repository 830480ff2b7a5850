/** What is called otherwise where AWS is another one: in China and in GovCloud. */

/** What the names of AWS's services end with in a region. */
export function servicesOf(region: string): string {
  return region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

/** Where AWS's console is for a region. */
export function consoleOf(region: string): string {
  if (region.startsWith("cn-")) return `${region}.console.amazonaws.cn`;
  return `${region}.console.${region.startsWith("us-gov-") ? "amazonaws-us-gov.com" : "aws.amazon.com"}`;
}
