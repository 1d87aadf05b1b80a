/* Any bytes as JSON. What is refused comes with a reason; what is accepted can be walked, and
 * written again it is the same document, however often. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/line.h"
#include "tests/fuzz/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_raw(struct jsonw *w, struct json_value value)
{
    size_t length;
    const char *raw = json_raw(value, &length);
    REQUIRE(raw != NULL && length > 0);
    jsonw_raw(w, raw, length);
}

static void write_string(struct jsonw *w, struct json_value value)
{
    size_t length;
    char *text = json_strdup(value, &length);
    if (text == NULL) {
        write_raw(w, value);
        return;
    }
    REQUIRE(strlen(text) == length && utf8_valid_prefix(text, length) == length);
    REQUIRE(json_equals(value, text));
    jsonw_string_n(w, text, length);
    free(text);
}

static void write_number(struct jsonw *w, struct json_value value)
{
    int64_t integer;
    double real;
    if (json_int(value, INT64_MIN, INT64_MAX, &integer) == 0) {
        REQUIRE(json_double(value, -1e19, 1e19, &real) == 0);
        REQUIRE(real >= (double)integer && real <= (double)integer);
        jsonw_int(w, integer);
    } else {
        write_raw(w, value);
    }
}

static void write_name(struct jsonw *w, struct json_value object, struct json_iter *it)
{
    char *name = json_strdup(it->name, NULL);
    write_string(w, it->name);
    buf_add_byte(w->out, ':');
    w->needs_comma = false;
    if (name != NULL)
        REQUIRE(json_get(object, name).token == it->value.token);
    free(name);
}

static void write_value(struct jsonw *w, struct json_value value)
{
    struct json_iter it = json_iter(value);
    size_t index = 0;
    switch (json_type(value)) {
    case JSON_OBJECT:
        jsonw_object(w);
        for (; json_next(&it); index++) {
            write_name(w, value, &it);
            write_value(w, it.value);
        }
        jsonw_object_end(w);
        break;
    case JSON_ARRAY:
        jsonw_array(w);
        for (; json_next(&it); index++) {
            REQUIRE(json_at(value, index).token == it.value.token);
            write_value(w, it.value);
        }
        jsonw_array_end(w);
        break;
    case JSON_STRING:
        write_string(w, value);
        break;
    case JSON_NUMBER:
        write_number(w, value);
        break;
    case JSON_BOOL:
    case JSON_NULL:
        write_raw(w, value);
        break;
    case JSON_NONE:
        REQUIRE(json_type(value) != JSON_NONE);
    }
    REQUIRE(index == json_size(value));
}

static char *rewrite(const struct json *doc, size_t size, size_t *ret_length)
{
    struct buf out;
    struct jsonw w;
    buf_init(&out, size * 8 + 64);
    jsonw_init(&w, &out);
    write_value(&w, json_root(doc));
    REQUIRE(!out.failed);
    *ret_length = out.length;
    return buf_steal(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits limits = {.depth = 16, .tokens = 4096};
    struct error error = {.message = ""};
    struct json *doc = json_parse((const char *)data, size, limits, &error);
    if (doc == NULL) {
        REQUIRE(error.code == ERROR_BAD_REQUEST && strncmp(error.message, "JSON: ", 6) == 0);
        REQUIRE(strncmp(error.message, "JSON: broken", 12) != 0);
        return 0;
    }
    size_t length, again_length;
    char *text = rewrite(doc, size, &length);
    json_free(doc);
    doc = json_parse(text, length, limits, &error);
    REQUIRE(doc != NULL);
    char *again = rewrite(doc, length, &again_length);
    REQUIRE(length == again_length && memcmp(text, again, length) == 0);
    json_free(doc);
    free(again);
    free(text);
    return 0;
}
