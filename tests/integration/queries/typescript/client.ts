// A client as its user writes it: the types come out of the schema, openapi-fetch sends requests.

import { readFile } from "node:fs/promises";

import createClient from "openapi-fetch";

import type { components, paths } from "./clipper.ts";

type Schemas = components["schemas"];

interface Told {
  url: string;
  key: string;
  application: string;
  input: number[];
  label: number;
  artifact: string;
}

const told = JSON.parse(process.argv[2] ?? "null") as Told;
const client = createClient<paths>({
  baseUrl: told.url,
  headers: { Authorization: `Api-Key ${told.key}` },
});
const path = { application: told.application };

function answered<T>(result: { data?: T; error?: Schemas["ErrorBody"] }): T {
  if (result.data === undefined) {
    throw new Error(`${result.error?.code}: ${result.error?.error}`);
  }
  return result.data;
}

async function predict(): Promise<Schemas["PredictionAnswer"]> {
  const answer = answered(
    await client.POST("/api/v1/applications/{application}/predict", {
      params: { path },
      body: { input: told.input },
    }),
  );
  if ("batch_predictions" in answer) {
    throw new Error("one input was asked about, and a batch answered");
  }
  return answer;
}

async function teach(query: string): Promise<Schemas["FeedbackResult"]> {
  return answered(
    await client.POST("/api/v1/applications/{application}/feedback", {
      params: { path },
      body: { query_id: query, label: told.label },
    }),
  );
}

// A form is what openapi-fetch leaves to its user: the types have the names of its fields.
async function upload(): Promise<Schemas["VersionOut"]> {
  const form = new FormData();
  const fields: Schemas["NewVersion"] = { version: "1", runtime: "sklearn" };
  Object.entries(fields).forEach(([name, value]) => form.set(name, String(value)));
  form.set("artifact", new Blob([await readFile(told.artifact)]), "model.skops");
  answered(
    await client.POST("/api/v1/models/", { body: { name: "typed", input_type: "doubles" } }),
  );
  return answered(
    await client.POST("/api/v1/models/{model}/versions/", {
      params: { path: { model: "typed" } },
      body: fields,
      bodySerializer: () => form,
    }),
  );
}

async function register(): Promise<Schemas["VersionOut"]> {
  const fields: Schemas["NewRemoteVersion"] = {
    version: "1",
    runtime: "remote",
    url: "http://127.0.0.1:9/v2/models/far",
    protocol: "open-inference",
    secret: "never shown",
    timeout_ms: 2000,
  };
  answered(
    await client.POST("/api/v1/models/", { body: { name: "typed-far", input_type: "doubles" } }),
  );
  return answered(
    await client.POST("/api/v1/models/{model}/versions/", {
      params: { path: { model: "typed-far" } },
      body: fields,
    }),
  );
}

// What the types are for: none of this gets past the compiler.
export async function refused(): Promise<void> {
  // @ts-expect-error: no query has such a field.
  const query: Schemas["PredictRequest"] = { colour: "blue" };
  // @ts-expect-error: a context is text.
  const item: Schemas["FeedbackItem"] = { context: 7 };
  // @ts-expect-error: there is no such path.
  await client.POST("/api/v1/nothing", { body: [query, item] });
}

const prediction = await predict();
const feedback = await teach(prediction.query_id);
const version = await upload();
const remote = await register();
console.log(JSON.stringify({ prediction, feedback, version, remote }));
