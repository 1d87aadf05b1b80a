/* Veo on Vertex AI: …/publishers/google/models/M:predictLongRunning, :fetchPredictOperation, and
 * the results' bucket in Cloud Storage. */
#ifndef SIM_VERTEX_H
#define SIM_VERTEX_H

#include "tests/sim/exchange.h"

void vertex_serve_submit(struct exchange *exchange);
void vertex_serve_fetch(struct exchange *exchange);
void vertex_serve_object(struct exchange *exchange);

/* The member `response` of an operation that has ended well, or was filtered. */
void vertex_write_response(struct exchange *exchange, struct jsonw *w,
                           const struct operation *operation);

#endif
