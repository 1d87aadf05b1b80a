/* Inside the request: the fields of GENERATE, from one table. */
#ifndef VEO_REQUEST_READ_H
#define VEO_REQUEST_READ_H

#include "daemon/core/request.h"

/* Reads the member that `it` is at. 0, or -1 with `error`, the request partly filled. */
int request_read_member(struct request *request, const struct json_iter *it, struct error *error);

#endif
