#include <string.h>

#include "proto/ctl/commands.h"
#include "proto/ctl/output.h"
#include "proto/ctl/upload.h"

static int put_file(struct ctl *ctl, struct uploads *uploads, struct connection *connection,
                    const char *path)
{
    char blob[BLOB_NAME_MAX];
    char why[UPLOAD_TEXT];
    int status = uploads_put(uploads, connection, path, blob, why);
    if (status == EXIT_ALL_DONE)
        ctl->output->blob(ctl, blob, path);
    else
        ctl_complain(ctl, "%s", why);
    return status;
}

int cmd_put(struct ctl *ctl, struct args *args)
{
    struct connection connection;
    size_t count;
    if (args_next(args) != OPTION_END)
        return EXIT_USAGE;
    char **words = args_words(args, &count);
    if (count == 0)
        return ctl_usage(ctl, "which file?");
    int status = call_open(ctl, &connection);
    if (status != EXIT_ALL_DONE)
        return status;
    struct uploads *uploads = uploads_new(ctl);
    for (size_t i = 0; i < count && status != EXIT_NO_DAEMON && status != EXIT_PROTOCOL; i++) {
        int of_file = put_file(ctl, uploads, &connection, words[i]);
        status = (int)exit_worse((enum exit_status)status, (enum exit_status)of_file);
    }
    uploads_free(uploads);
    connection_close(&connection);
    return status;
}
