#include "tests/sim/check.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/quota.h"
#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    return type && strncasecmp(type, json, sizeof(json) - 1) == 0;
}

struct json *check_body(struct exchange *exchange)
{
    struct buf *text = &exchange->intake.text;
    const char *type = exchange_header(exchange, "Content-Type");
    if (exchange->intake.failed) {
        reply_error(exchange, 400, NULL, "Request payload size exceeds the limit: %zu bytes.",
                    INTAKE_BYTES_MAX);
        return NULL;
    }
    if (!is_json_type(type)) {
        reply_error(exchange, 400, NULL, "Invalid Content-Type \"%s\": expected application/json.",
                    type ? type : "");
        return NULL;
    }
    struct error error = {0};
    struct json *doc = json_parse(buf_text(text), text->length, (struct json_limits){0}, &error);
    if (!doc) {
        reply_error(exchange, 400, NULL, "Invalid JSON payload received. %s", error.message);
    } else if (json_type(json_root(doc)) != JSON_OBJECT) {
        reply_error(exchange, 400, NULL, "Invalid JSON payload received. Expected an object.");
        json_free(doc);
        doc = NULL;
    }
    return doc;
}

bool check_one_of(struct json_value value, const char *const *list, const char **ret)
{
    for (; *list; list++) {
        if (json_equals(value, *list)) {
            if (ret) {
                *ret = *list;
            }
            return true;
        }
    }
    return false;
}

struct file *check_file_uri(struct exchange *exchange, struct json_value uri)
{
    char *text = json_strdup(uri, NULL);
    char *id = text ? strstr(text, "/files/") : NULL;
    struct file *file = NULL;
    if (id) {
        id += strlen("/files/");
        id[strcspn(id, ":?/")] = '\0';
        file = operation_file(&exchange->sim->operations, id);
    }
    free(text);
    return file;
}

bool check_storage_uri(struct json_value uri)
{
    char *text = json_strdup(uri, NULL);
    bool good = text && strncmp(text, "gs://", 5) == 0 && text[5] && text[5] != '/';
    free(text);
    return good;
}

static bool read_directives(struct exchange *exchange, struct operation_plan *plan)
{
    struct error error = {0};
    directives_init(&plan->directives);
    if (directives_parse(&plan->directives, plan->prompt, &error) < 0) {
        return reply_error(exchange, 400, NULL, "%s", error.message);
    }
    if (exchange->rule && exchange->rule->directive) {
        const char *list = exchange->rule->directive;
        directives_parse_list(&plan->directives, list, strlen(list), NULL);
    }
    return true;
}

static void complete(struct exchange *exchange, struct operation_plan *plan)
{
    struct sim *sim = exchange->sim;
    enum delivery delivery = plan->directives.delivery;
    if (delivery == DELIVERY_ASKED) {
        delivery = sim->options.delivery;
    }
    if (delivery != DELIVERY_ASKED) {
        plan->deliver_uri = delivery == DELIVERY_URI;
    }
    plan->latency_ms = plan->directives.latency_ms;
    if (plan->latency_ms < 0) {
        plan->latency_ms = operations_random(&sim->operations, sim->options.latency_min_ms,
                                             sim->options.latency_max_ms);
    }
    plan->path = exchange->path;
    plan->body = buf_text(&exchange->intake.text);
    plan->body_length = exchange->intake.text.length;
    plan->body_bytes = exchange->received;
}

bool check_admission(struct exchange *exchange, struct operation_plan *plan)
{
    if (rules_intercept(exchange, plan->prompt) || !read_directives(exchange, plan) ||
        !quota_admit(exchange, plan->model)) {
        return false;
    }
    complete(exchange, plan);
    return true;
}
