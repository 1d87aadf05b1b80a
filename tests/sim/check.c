#include "tests/sim/check.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/reply.h"
#include "tests/sim/sim.h"

static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    return type && strncasecmp(type, json, sizeof(json) - 1) == 0;
}

struct json *check_body(struct exchange *exchange)
{
    const char *type =
        MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, "Content-Type");
    if (exchange->body.failed) {
        reply_error(exchange, 400, NULL, "Request payload size exceeds the limit: %zu bytes.",
                    exchange->body.max);
        return NULL;
    }
    if (!is_json_type(type)) {
        reply_error(exchange, 400, NULL, "Invalid Content-Type \"%s\": expected application/json.",
                    type ? type : "");
        return NULL;
    }
    struct error error = {0};
    struct json *doc = json_parse(buf_text(&exchange->body), exchange->body.length,
                                  (struct json_limits){0}, &error);
    if (!doc) {
        reply_error(exchange, 400, NULL, "Invalid JSON payload received. %s", error.message);
    } else if (json_type(json_root(doc)) != JSON_OBJECT) {
        reply_error(exchange, 400, NULL, "Invalid JSON payload received. Expected an object.");
        json_free(doc);
        doc = NULL;
    }
    return doc;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

bool check_base64(struct json_value value, size_t *ret_bytes)
{
    if (json_type(value) != JSON_STRING) {
        return false;
    }
    size_t length;
    const char *raw = json_raw(value, &length) + 1;
    length -= 2;
    size_t letters = 0;
    while (letters < length && is_base64(raw[letters])) {
        letters++;
    }
    size_t padding = length - letters;
    for (size_t i = letters; i < length; i++) {
        if (raw[i] != '=') {
            return false;
        }
    }
    *ret_bytes = letters * 3 / 4;
    return letters > 0 && padding <= 2 && length % 4 == 0;
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

int check_directives(struct exchange *exchange, struct operation_plan *plan)
{
    struct error error = {0};
    struct sim *sim = exchange->sim;
    directives_init(&plan->directives);
    if (directives_parse(&plan->directives, plan->prompt, &error) < 0) {
        reply_error(exchange, 400, NULL, "%s", error.message);
        return -1;
    }
    if (exchange->rule && exchange->rule->directive) {
        const char *list = exchange->rule->directive;
        directives_parse_list(&plan->directives, list, strlen(list), NULL);
    }
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
    plan->body = buf_text(&exchange->body);
    plan->body_length = exchange->body.length;
    return 0;
}
