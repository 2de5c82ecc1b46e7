// A typed client, made from the service's own description (`schema.d.ts`), and used once.
// Argument: the address of the service. Prints what it found.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

declare const process: { argv: string[] };

type Answer = components["schemas"]["Answer"];
type Delta = components["schemas"]["DeltaEvent"];

const client = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: process.argv[2] });

const { data, error } = await client.POST("/chat", {
  body: { message: "Quanto capitale serve per una PT PMA?", filters: { languages: ["it"] } },
});
if (error) throw new Error(error.detail ?? error.title);
const answer: Answer = data;
const cited: number[] = answer.sources.map((source) => source.n);

const found = await client.POST("/search", { body: { query: "KITAS", top_k: 1 } });
const title: string | undefined = found.data?.passages[0]?.title;

const document = await client.GET("/documents/{document_id}", {
  params: { path: { document_id: "niente" } },
});
const refused: number | undefined = document.error?.status;

// @ts-expect-error a field that is not there must not compile
const wrong: unknown = answer.anwser;
const delta: Delta = { text: answer.answer.slice(0, 5) };

console.log(JSON.stringify({ ai: answer.ai_used, cited, title, refused, delta, wrong }));
