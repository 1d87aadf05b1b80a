#include "proto/ctl/mcp_copy.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ctl/fetch.h"
#include "proto/mem.h"

#define RECONNECT_MS 5000

/* What is said in the child has the program's name in front. */
static const char *without_name(const char *text)
{
    static const char name[] = "veoctl: ";
    return strncmp(text, name, strlen(name)) == 0 ? text + strlen(name) : text;
}

/* ---- there ---- */

static int upload(struct ctl *ctl, const void *arg)
{
    struct connection connection;
    char blob[BLOB_NAME_MAX], why[UPLOAD_TEXT];
    int status = call_open(ctl, &connection);
    if (status != EXIT_ALL_DONE)
        return status;
    struct uploads *uploads = uploads_new(ctl);
    status = uploads_put(uploads, &connection, arg, blob, why);
    fputs(status == EXIT_ALL_DONE ? blob : why, stdout);
    uploads_free(uploads);
    connection_close(&connection);
    return status;
}

struct mcp_child *copy_start_upload(const struct mcp *mcp, const char *path)
{
    return child_start(mcp->ctl, upload, path);
}

static enum error_code code_of(int status)
{
    if (status == EXIT_NO_DAEMON)
        return ERROR_UNAVAILABLE;
    return status == EXIT_PROTOCOL ? ERROR_INTERNAL : ERROR_INVALID_ARGUMENT;
}

int copy_take_upload(struct mcp_child *child, const struct mcp_call *call,
                     char ret_blob[BLOB_NAME_MAX], struct error *error)
{
    const char *text;
    char folder[PATH_MAX];
    bool is_relative = *call->call.image_path != '/';
    int status = child_result(child, &text);
    if (status == EXIT_ALL_DONE && strlen(text) < BLOB_NAME_MAX) {
        strcpy(ret_blob, text);
        return 0;
    }
    if (status == EXIT_NO_DAEMON)
        return error_set(error, ERROR_UNAVAILABLE, NULL, "no daemon at %s: %s",
                         call->mcp->ctl->socket_path, without_name(text));
    bool is_usage = status == EXIT_USAGE && is_relative && getcwd(folder, sizeof folder);
    return error_set(error, code_of(status), "image_path", "%s%s%s", without_name(text),
                     is_usage ? "; relative paths start at " : "", is_usage ? folder : "");
}

/* ---- and back ---- */

static bool is_there(struct json_value file)
{
    return json_type(json_get(file, "path")) == JSON_STRING &&
           json_type(json_get(file, "removed_at")) == JSON_NONE;
}

static struct json *parse_job(const struct mcp_call *call)
{
    return json_parse(call->job, strlen(call->job), (struct json_limits){0}, NULL);
}

bool copy_is_wanted(const struct mcp_call *call)
{
    bool wanted = false;
    struct json *doc = parse_job(call);
    for (struct json_iter it = json_iter(json_get(json_root(doc), "files")); json_next(&it);)
        wanted = wanted || is_there(it.value);
    json_free(doc);
    return wanted && call->job_id;
}

char *copy_target(const struct mcp *mcp, const char *job_id, size_t file)
{
    return fetch_target(mcp->output, job_id, file);
}

/* Names are made of the job's id: a whole file of that name is the one that was copied before. */
static bool is_copied(const char *target, struct json_value file)
{
    struct stat info;
    int64_t bytes;
    return json_int(json_get(file, "bytes"), 0, INT64_MAX, &bytes) == 0 &&
           stat(target, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == bytes;
}

static int fetch_one(struct ctl *ctl, struct connection *connection, const struct mcp_call *call,
                     size_t number, struct json_value file)
{
    char *target = copy_target(call->mcp, call->job_id, number);
    struct fetch fetch = {.id = call->job_id,
                          .file = number,
                          .target = target,
                          .overwrite = true,
                          .reconnect_ms = RECONNECT_MS};
    int status = is_copied(target, file) ? EXIT_ALL_DONE : fetch_file(ctl, connection, &fetch);
    free(target);
    return status;
}

static int fetch_all(struct ctl *ctl, const void *arg)
{
    const struct mcp_call *call = arg;
    struct connection connection;
    struct json *doc = parse_job(call);
    size_t number = 0;
    int status = call_open(ctl, &connection);
    for (struct json_iter it = json_iter(json_get(json_root(doc), "files"));
         status == EXIT_ALL_DONE && json_next(&it); number++)
        if (is_there(it.value))
            status = fetch_one(ctl, &connection, call, number, it.value);
    json_free(doc);
    connection_close(&connection);
    return status;
}

struct mcp_child *copy_start_fetch(const struct mcp_call *call)
{
    return child_start(call->mcp->ctl, fetch_all, call);
}

char *copy_take_fetch(struct mcp_child *child)
{
    const char *text;
    int status = child_result(child, &text);
    if (status == EXIT_ALL_DONE)
        return NULL;
    text = without_name(text);
    return mem_strdup(*text ? text : "the copy broke off");
}
