#include "daemon/agent/chat.h"

#include <stdlib.h>

void chat_calls_free(struct chat_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(calls[i].id);
        free(calls[i].name);
        free(calls[i].arguments);
    }
    free(calls);
}
