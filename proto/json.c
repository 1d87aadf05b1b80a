#include "proto/json.h"

#include <stdlib.h>
#include <string.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "proto/json_text.h"
#include "proto/mem.h"

#define MAX_TEXT    ((size_t)1 << 30) /* jsmn counts in int */
#define FIRST_ROOM  32
#define ROOM_STEP   256
#define FEW_MEMBERS 8

/* Once a container is closed, and for every scalar at once, `parent` is of no more use and holds
 * the index of the token after the whole value, so that siblings are one step apart. */
struct json {
    const char *text;
    size_t length;
    jsmntok_t *tokens;
    int count;
};

enum expectation {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END,
    EXPECT_NAME,
    EXPECT_NAME_OR_END,
    EXPECT_COLON,
    EXPECT_COMMA_IN_OBJECT,
    EXPECT_COMMA_IN_ARRAY,
    EXPECT_NOTHING,
};

static const char *const expectations[] = {
    [EXPECT_VALUE] = "a value",
    [EXPECT_VALUE_OR_END] = "a value or ']'",
    [EXPECT_NAME] = "a name in quotes",
    [EXPECT_NAME_OR_END] = "a name in quotes or '}'",
    [EXPECT_COLON] = "':'",
    [EXPECT_COMMA_IN_OBJECT] = "',' or '}'",
    [EXPECT_COMMA_IN_ARRAY] = "',' or ']'",
    [EXPECT_NOTHING] = "nothing more",
};

/* jsmn marks tokens but lets much pass that is not JSON; the checker follows the grammar over the
 * tokens and over the bytes between them. */
struct checker {
    struct json *doc;
    struct json_limits limits;
    struct error *error;
    int jsmn_result;
    size_t pos;
    int next;      /* token */
    int container; /* token, -1 outside of all */
    unsigned depth;
    enum expectation expected;
};

static int fail_at(struct checker *c, size_t pos, const char *what)
{
    if (pos >= c->doc->length)
        return error_set(c->error, ERROR_BAD_REQUEST, NULL, "JSON: %s at byte %zu, found the end",
                         what, pos);
    unsigned char byte = (unsigned char)c->doc->text[pos];
    return error_set(c->error, ERROR_BAD_REQUEST, NULL,
                     byte > ' ' && byte < 0x7F ? "JSON: %s at byte %zu, found '%c'"
                                               : "JSON: %s at byte %zu, found byte 0x%02X",
                     what, pos, byte);
}

static int fail_expecting(struct checker *c)
{
    char what[64] = "expected ";
    strcat(what, expectations[c->expected]);
    return fail_at(c, c->pos, what);
}

static int fail_limit(struct checker *c, unsigned limit, const char *what)
{
    return error_set(c->error, ERROR_BAD_REQUEST, NULL, "JSON: more than %u %s at byte %zu", limit,
                     what, c->pos);
}

/* Claims the token that begins here. -1 where jsmn gave up; then the scalar that stopped it is
 * still looked at for the reason, and whatever comes after ends in an error as well. */
static int take_token(struct checker *c, jsmntype_t type, size_t start)
{
    if (c->next >= c->doc->count)
        return -1;
    jsmntok_t *token = &c->doc->tokens[c->next];
    if (token->type != type || token->start != (int)start)
        return -1;
    token->parent = c->next + 1;
    token->size = 0;
    return c->next++;
}

static bool out_of_tokens(const struct checker *c)
{
    return c->jsmn_result == JSMN_ERROR_NOMEM && c->next >= c->doc->count;
}

static void after_value(struct checker *c)
{
    if (c->container < 0)
        c->expected = EXPECT_NOTHING;
    else if (c->doc->tokens[c->container].type == JSMN_OBJECT)
        c->expected = EXPECT_COMMA_IN_OBJECT;
    else
        c->expected = EXPECT_COMMA_IN_ARRAY;
}

/* A token that jsmn found must end where its grammar does. */
static int finish_scalar(struct checker *c, int token, size_t end, const char *what)
{
    if (token >= 0 && c->doc->tokens[token].end != (int)end)
        return fail_at(c, end, what);
    return 0;
}

static int check_string(struct checker *c)
{
    const char *at = c->doc->text + c->pos + 1;
    const char *wrong = json_text_check_string(&at, c->doc->text + c->doc->length);
    size_t end = (size_t)(at - c->doc->text);
    if (wrong != NULL)
        return fail_at(c, end, wrong);
    int token = take_token(c, JSMN_STRING, c->pos + 1);
    c->pos = end + 1;
    return finish_scalar(c, token, end, "string broken");
}

static int check_literal(struct checker *c)
{
    static const char *const literals[] = {"true", "false", "null"};
    size_t left = c->doc->length - c->pos;
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
        size_t length = strlen(literals[i]);
        if (left >= length && memcmp(c->doc->text + c->pos, literals[i], length) == 0) {
            int token = take_token(c, JSMN_PRIMITIVE, c->pos);
            c->pos += length;
            return finish_scalar(c, token, c->pos, "literal goes on");
        }
    }
    return fail_at(c, c->pos, "expected true, false, or null");
}

static int check_number(struct checker *c)
{
    const char *at = c->doc->text + c->pos;
    const char *wrong = json_text_check_number(&at, c->doc->text + c->doc->length);
    size_t end = (size_t)(at - c->doc->text);
    if (wrong != NULL)
        return fail_at(c, end, wrong);
    int token = take_token(c, JSMN_PRIMITIVE, c->pos);
    c->pos = end;
    return finish_scalar(c, token, end, "broken number");
}

static int open_container(struct checker *c, jsmntype_t type)
{
    if (c->depth >= c->limits.depth)
        return fail_limit(c, c->limits.depth, "levels of nesting");
    int token = take_token(c, type, c->pos);
    if (token < 0)
        return fail_at(c, c->pos, "broken");
    c->doc->tokens[token].parent = c->container;
    c->container = token;
    c->depth++;
    c->pos++;
    c->expected = type == JSMN_OBJECT ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
    return 0;
}

static int compare_names(const void *a, const void *b, void *userdata)
{
    const struct json *doc = userdata;
    const jsmntok_t *left = &doc->tokens[*(const int *)a], *right = &doc->tokens[*(const int *)b];
    int order = json_text_compare(doc->text + left->start, (size_t)(left->end - left->start),
                                  doc->text + right->start, (size_t)(right->end - right->start));
    return order != 0 ? order : (left > right) - (left < right);
}

static int fail_twice(struct checker *c, int name)
{
    const jsmntok_t *token = &c->doc->tokens[name];
    int length = token->end - token->start;
    return error_set(c->error, ERROR_BAD_REQUEST, NULL,
                     "JSON: member \"%.*s\" a second time at byte %d", length < 64 ? length : 64,
                     c->doc->text + token->start, token->start - 1);
}

static bool same_name(struct json *doc, int a, int b)
{
    const jsmntok_t *left = &doc->tokens[a], *right = &doc->tokens[b];
    return json_text_compare(doc->text + left->start, (size_t)(left->end - left->start),
                             doc->text + right->start, (size_t)(right->end - right->start)) == 0;
}

static int check_unique_names(struct checker *c, int object)
{
    struct json *doc = c->doc;
    size_t count = (size_t)doc->tokens[object].size;
    int few[FEW_MEMBERS];
    int *names = count <= FEW_MEMBERS ? few : mem_resize(NULL, count, sizeof(*names));
    int name = object + 1;
    for (size_t i = 0; i < count; i++) {
        names[i] = name;
        name = doc->tokens[name + 1].parent;
    }
    qsort_r(names, count, sizeof(*names), compare_names, doc);
    int ret = 0;
    for (size_t i = 1; i < count && ret == 0; i++)
        if (same_name(doc, names[i - 1], names[i]))
            ret = fail_twice(c, names[i]);
    if (names != few)
        free(names);
    return ret;
}

static int close_container(struct checker *c)
{
    int closed = c->container;
    jsmntok_t *token = &c->doc->tokens[closed];
    token->end = (int)++c->pos;
    c->container = token->parent;
    c->depth--;
    token->parent = c->next;
    after_value(c);
    return token->type == JSMN_OBJECT ? check_unique_names(c, closed) : 0;
}

static void count_child(struct checker *c)
{
    if (c->container >= 0)
        c->doc->tokens[c->container].size++;
}

static int check_value(struct checker *c, int byte)
{
    if (out_of_tokens(c))
        return fail_limit(c, c->limits.tokens, "names and values");
    if (c->expected == EXPECT_VALUE_OR_END ||
        (c->container >= 0 && c->doc->tokens[c->container].type == JSMN_ARRAY))
        count_child(c);
    if (byte == '{' || byte == '[')
        return open_container(c, byte == '{' ? JSMN_OBJECT : JSMN_ARRAY);
    int failed = -1;
    if (byte == '"')
        failed = check_string(c);
    else if (byte == '-' || (byte >= '0' && byte <= '9'))
        failed = check_number(c);
    else if (byte >= 'a' && byte <= 'z')
        failed = check_literal(c);
    else
        return fail_expecting(c);
    if (failed == 0)
        after_value(c);
    return failed;
}

static int check_name(struct checker *c)
{
    if (out_of_tokens(c))
        return fail_limit(c, c->limits.tokens, "names and values");
    count_child(c);
    if (check_string(c) < 0)
        return -1;
    c->expected = EXPECT_COLON;
    return 0;
}

static int check_mark(struct checker *c, enum expectation next)
{
    c->pos++;
    c->expected = next;
    return 0;
}

/* One step of the grammar; 1 at the end of a good text. */
static int check_step(struct checker *c, int byte)
{
    switch (c->expected) {
    case EXPECT_VALUE_OR_END:
        if (byte == ']')
            return close_container(c);
        return check_value(c, byte);
    case EXPECT_VALUE:
        return check_value(c, byte);
    case EXPECT_NAME_OR_END:
        if (byte == '}')
            return close_container(c);
        return byte == '"' ? check_name(c) : fail_expecting(c);
    case EXPECT_NAME:
        return byte == '"' ? check_name(c) : fail_expecting(c);
    case EXPECT_COLON:
        return byte == ':' ? check_mark(c, EXPECT_VALUE) : fail_expecting(c);
    case EXPECT_COMMA_IN_OBJECT:
        if (byte == '}')
            return close_container(c);
        return byte == ',' ? check_mark(c, EXPECT_NAME) : fail_expecting(c);
    case EXPECT_COMMA_IN_ARRAY:
        if (byte == ']')
            return close_container(c);
        return byte == ',' ? check_mark(c, EXPECT_VALUE) : fail_expecting(c);
    case EXPECT_NOTHING:
        break;
    }
    return byte < 0 ? 1 : fail_expecting(c);
}

static int check_grammar(struct checker *c)
{
    const struct json *doc = c->doc;
    int step;
    do {
        while (c->pos < doc->length && doc->text[c->pos] != '\0' &&
               strchr(" \t\r\n", doc->text[c->pos]) != NULL)
            c->pos++;
        step = check_step(c, c->pos < doc->length ? (unsigned char)doc->text[c->pos] : -1);
    } while (step == 0);
    if (step < 0)
        return -1;
    return c->jsmn_result < 0 || c->next != doc->count ? fail_at(c, c->pos, "broken") : 0;
}

/* The containers that are open, more or less: enough to stop before jsmn, which looks for the one
 * to close from the innermost token outward, takes quadratic time over a deep nest. */
static unsigned open_containers(const struct json *doc, int token)
{
    unsigned ret = 0;
    for (; token >= 0; token = doc->tokens[token].parent)
        ret += doc->tokens[token].type == JSMN_OBJECT || doc->tokens[token].type == JSMN_ARRAY;
    return ret;
}

/* In its strict mode jsmn wants a delimiter behind a primitive; a text that is one has none. */
static bool is_lone_primitive(const struct json *doc, const jsmn_parser *parser, int result)
{
    return result == JSMN_ERROR_PART && parser->toknext == 0 && doc->text[parser->pos] != '"';
}

static int tokenize(struct json *doc, struct json_limits limits)
{
    jsmn_parser parser;
    jsmn_init(&parser);
    unsigned capacity = 0, room = 0;
    int result;
    do {
        unsigned more = room < FIRST_ROOM ? FIRST_ROOM : room < ROOM_STEP ? room : ROOM_STEP;
        room = more < limits.tokens - room ? room + more : limits.tokens;
        if (room > capacity) {
            capacity = room > capacity * 2 ? room : capacity * 2;
            doc->tokens = mem_resize(doc->tokens, capacity, sizeof(*doc->tokens));
        }
        result = jsmn_parse(&parser, doc->text, doc->length, doc->tokens, room);
    } while (result == JSMN_ERROR_NOMEM && room < limits.tokens &&
             open_containers(doc, parser.toksuper) <= limits.depth);
    if (is_lone_primitive(doc, &parser, result)) {
        doc->tokens[0] = (jsmntok_t){JSMN_PRIMITIVE, (int)parser.pos, (int)doc->length, 0, -1};
        parser.toknext = 1;
        result = 1;
    }
    doc->count = (int)parser.toknext;
    return result;
}

struct json *json_parse(const char *text, size_t length, struct json_limits limits,
                        struct error *error)
{
    if (length > MAX_TEXT) {
        error_set(error, ERROR_BAD_REQUEST, NULL, "JSON: %zu bytes, at most %zu are read", length,
                  MAX_TEXT);
        return NULL;
    }
    if (limits.depth == 0)
        limits.depth = JSON_DEFAULT_DEPTH;
    if (limits.tokens == 0)
        limits.tokens = JSON_DEFAULT_TOKENS;
    struct json *doc = mem_alloc(sizeof(*doc));
    doc->text = text;
    doc->length = length;
    struct checker checker = {.doc = doc, .limits = limits, .error = error, .container = -1};
    checker.jsmn_result = tokenize(doc, limits);
    if (check_grammar(&checker) < 0) {
        json_free(doc);
        return NULL;
    }
    return doc;
}

void json_free(struct json *doc)
{
    if (doc == NULL)
        return;
    free(doc->tokens);
    free(doc);
}

static const jsmntok_t *token_of(struct json_value value)
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
    const jsmntok_t *token = token_of(value);
    if (token == NULL)
        return JSON_NONE;
    switch (token->type) {
    case JSMN_OBJECT:
        return JSON_OBJECT;
    case JSMN_ARRAY:
        return JSON_ARRAY;
    case JSMN_STRING:
        return JSON_STRING;
    case JSMN_UNDEFINED:
    case JSMN_PRIMITIVE:
        break;
    }
    char first = value.doc->text[token->start];
    return first == 'n' ? JSON_NULL : first == 't' || first == 'f' ? JSON_BOOL : JSON_NUMBER;
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
    const jsmntok_t *token = token_of(value);
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
    it->next_token = doc->tokens[it->next_token].parent;
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
