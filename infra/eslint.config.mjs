import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules/", "bin/"] },
  ...tseslint.configs.strict,
  {
    files: ["**/*.ts"],
    rules: {
      eqeqeq: "error",
      "no-console": "error",
      "prefer-const": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-explicit-any": "error",
      // The program is loaded by name, anew for each run of it.
      "@typescript-eslint/no-require-imports": "off",
    },
  },
);
