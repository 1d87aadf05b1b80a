#include <string.h>

#include "proto/json_doc.h"
#include "proto/json_text.h"

static const struct json_token *token_of(struct json_value value)
{
    return value.doc != NULL && value.token >= 0 ? &value.doc->tokens[value.token] : NULL;
}

static struct json_value absent(void)
{
    return (struct json_value){NULL, -1};
}

struct json_value json_root(const struct json *doc)
{
    return doc != NULL ? (struct json_value){doc, 0} : absent();
}

enum json_type json_type(struct json_value value)
{
    const struct json_token *token = token_of(value);
    return token != NULL ? token->type : JSON_NONE;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NONE] = "absent",   [JSON_OBJECT] = "object", [JSON_ARRAY] = "array",
        [JSON_STRING] = "string", [JSON_NUMBER] = "number", [JSON_BOOL] = "boolean",
        [JSON_NULL] = "null",
    };
    return names[type];
}

static const char *bytes_of(struct json_value value, size_t *ret_length)
{
    const struct json_token *token = token_of(value);
    *ret_length = token != NULL ? (size_t)(token->end - token->start) : 0;
    return token != NULL ? value.doc->text + token->start : NULL;
}

size_t json_size(struct json_value value)
{
    enum json_type type = json_type(value);
    return type == JSON_OBJECT || type == JSON_ARRAY ? (size_t)token_of(value)->size : 0;
}

struct json_iter json_iter(struct json_value container)
{
    return (struct json_iter){.name = absent(),
                              .value = absent(),
                              .container = container,
                              .next_token = container.token + 1,
                              .left = (int)json_size(container)};
}

bool json_next(struct json_iter *it)
{
    if (it->left == 0)
        return false;
    it->left--;
    const struct json *doc = it->container.doc;
    if (json_type(it->container) == JSON_OBJECT)
        it->name = (struct json_value){doc, it->next_token++};
    it->value = (struct json_value){doc, it->next_token};
    it->next_token = doc->tokens[it->next_token].next;
    return true;
}

static bool equals_n(struct json_value value, const char *text, size_t text_length)
{
    size_t length;
    const char *bytes = bytes_of(value, &length);
    return json_type(value) == JSON_STRING && json_text_equals(bytes, length, text, text_length);
}

bool json_equals(struct json_value value, const char *text)
{
    return equals_n(value, text, strlen(text));
}

static struct json_value get_n(struct json_value value, const char *name, size_t length)
{
    if (json_type(value) == JSON_OBJECT)
        for (struct json_iter it = json_iter(value); json_next(&it);)
            if (equals_n(it.name, name, length))
                return it.value;
    return absent();
}

struct json_value json_get(struct json_value value, const char *name)
{
    return get_n(value, name, strlen(name));
}

struct json_value json_at(struct json_value array, size_t index)
{
    if (json_type(array) == JSON_ARRAY && index < json_size(array))
        for (struct json_iter it = json_iter(array); json_next(&it); index--)
            if (index == 0)
                return it.value;
    return absent();
}

static struct json_value at_text(struct json_value array, const char *digits, size_t length)
{
    size_t index = 0;
    if (length == 0 || length > 9)
        return absent();
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return absent();
        index = index * 10 + (size_t)(digits[i] - '0');
    }
    return json_at(array, index);
}

struct json_value json_path(struct json_value value, const char *path)
{
    while (token_of(value) != NULL) {
        size_t length = strcspn(path, ".");
        value = json_type(value) == JSON_ARRAY ? at_text(value, path, length)
                                               : get_n(value, path, length);
        if (path[length] == '\0')
            break;
        path += length + 1;
    }
    return value;
}

char *json_strdup(struct json_value value, size_t *ret_length)
{
    size_t length;
    const char *bytes = bytes_of(value, &length);
    return json_type(value) == JSON_STRING ? json_text_unescape(bytes, length, ret_length) : NULL;
}

int json_int(struct json_value value, int64_t min, int64_t max, int64_t *ret)
{
    size_t length;
    const char *bytes = bytes_of(value, &length);
    int64_t number;
    if (json_type(value) != JSON_NUMBER || json_text_int(bytes, length, &number) < 0 ||
        number < min || number > max)
        return -1;
    *ret = number;
    return 0;
}

int json_double(struct json_value value, double min, double max, double *ret)
{
    size_t length;
    const char *bytes = bytes_of(value, &length);
    double number;
    if (json_type(value) != JSON_NUMBER || json_text_double(bytes, length, &number) < 0 ||
        !(number >= min && number <= max))
        return -1;
    *ret = number;
    return 0;
}

int json_bool(struct json_value value, bool *ret)
{
    if (json_type(value) != JSON_BOOL)
        return -1;
    *ret = value.doc->text[token_of(value)->start] == 't';
    return 0;
}

const char *json_raw(struct json_value value, size_t *ret_length)
{
    const char *ret = bytes_of(value, ret_length);
    if (json_type(value) == JSON_STRING) {
        *ret_length += 2;
        ret--;
    }
    return ret;
}
