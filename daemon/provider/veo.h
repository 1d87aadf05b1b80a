/* What Veo's two homes have in common: the body of predictLongRunning, and what an operation says.
 *
 * Everything but the prompt and the files goes into `parameters`, in camelCase; a field in the
 * wrong object is ignored and the video billed all the same (LiteLLM #29498). Sending what nobody
 * asked for gets a 400 from models that don't know it (n8n #17707). */
#ifndef VEO_VEO_H
#define VEO_VEO_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/provider/provider.h"
#include "proto/json.h"

/* Where an ended operation has its results. */
struct veo_shape {
    const char *place;   /* the path of the object that holds them, and what the filter says */
    const char *samples; /* its array */
    void (*add)(struct outcome *outcome, struct json_value sample);
};

/* True if it is in Cloud Storage ("gs://…"). */
bool veo_is_stored(const struct input *input);

/* `storage_uri` may be NULL. `video_by_uri`: the video's address is sent, whatever it is; else the
 * object in Cloud Storage or the file. */
void veo_write_body(struct wire_request *wire, const struct request *request, bool video_by_uri,
                    const char *storage_uri);

/* What both refuse. */
int veo_check(const struct request *request, struct error *error);

/* The length of the path's segment that `text` begins with, if it needs no encoding and isn't a dot
 * segment (RFC 3986, 3.3); else 0. */
size_t veo_segment_length(const char *text);

/* `lack` says what an answer is whose name `is_name` doesn't know. */
void veo_submitted(const struct wire_reply *reply, struct outcome *ret,
                   const struct veo_shape *shape, bool (*is_name)(const char *), const char *lack);
void veo_polled(const struct wire_reply *reply, struct outcome *ret, const struct veo_shape *shape);

/* What a filter's reason is about, by the "Support codes" in it; NULL: not known. */
const char *veo_find_category(const char *reason);

#endif
