/* RELOAD: reads the configuration anew. */
#include <stdlib.h>
#include <string.h>

#include "daemon/cmd/call.h"
#include "proto/limits.h"

static void write_changed(struct jsonw *w, char *names)
{
    char *position = NULL;
    jsonw_name(w, "changed");
    jsonw_array(w);
    /* A section's name may have a blank: the keys are split by commas. */
    for (char *name = strtok_r(names, ",", &position); name; name = strtok_r(NULL, ",", &position))
        jsonw_string(w, name);
    jsonw_array_end(w);
}

void cmd_reload(struct call *call)
{
    static const char *const members[] = {NULL};
    const struct commands_config *config = &call->commands->config;
    struct error error;
    struct buf changed;
    if (call_check_members(call, members) < 0)
        return;
    if (!call->admin) {
        call_fail(call, ERROR_FORBIDDEN, NULL,
                  "RELOAD is for root, the user that veod runs as, "
                  "and [daemon] admin_group");
        return;
    }
    buf_init(&changed, LIMIT_LINE);
    if (config->reload(config->reload_arg, &changed, &error) < 0) {
        call_error(call, &error);
    } else {
        char *names = buf_steal(&changed);
        write_changed(call_reply(call, REPLY_OK), names);
        call_send(call);
        call_end(call);
        free(names);
    }
    buf_free(&changed);
}
