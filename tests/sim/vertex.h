/* Veo on Vertex AI: …/publishers/google/models/M:predictLongRunning, :fetchPredictOperation, and
 * the results' bucket in Cloud Storage. */
#ifndef SIM_VERTEX_H
#define SIM_VERTEX_H

#include "tests/sim/exchange.h"

void vertex_serve_submit(struct exchange *exchange);
void vertex_serve_fetch(struct exchange *exchange);
void vertex_serve_object(struct exchange *exchange);

#endif
