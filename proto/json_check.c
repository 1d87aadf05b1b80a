#include <stdlib.h>
#include <string.h>

#include "proto/json_doc.h"
#include "proto/json_text.h"
#include "proto/mem.h"

#define FEW_MEMBERS 8

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

struct checker {
    struct json *doc;
    struct json_limits limits;
    struct error *error;
    enum json_marked marked;
    size_t pos;
    int next;      /* token */
    int container; /* token, -1 outside of all; `next` of an open one is the one around it */
    bool lost;     /* past the last token already */
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

/* Claims the token of a scalar that is good by itself. Without one, jsmn gave up here: the reason
 * is in what follows. */
static int take_scalar(struct checker *c, enum json_type type, size_t start, size_t end)
{
    if (c->next >= c->doc->count) {
        c->lost = true;
        return 0;
    }
    struct json_token *token = &c->doc->tokens[c->next];
    if (token->type != (type == JSON_STRING ? JSON_STRING : JSON_NONE) ||
        token->start != (int)start || token->end != (int)end)
        return fail_at(c, end, "expected the value's end");
    *token = (struct json_token){type, (int)start, (int)end, 0, ++c->next};
    return 0;
}

static bool out_of_tokens(const struct checker *c)
{
    return c->marked == JSON_TOO_MANY_TOKENS && c->next >= c->doc->count;
}

static void after_value(struct checker *c)
{
    if (c->container < 0)
        c->expected = EXPECT_NOTHING;
    else if (c->doc->tokens[c->container].type == JSON_OBJECT)
        c->expected = EXPECT_COMMA_IN_OBJECT;
    else
        c->expected = EXPECT_COMMA_IN_ARRAY;
}

static int check_string(struct checker *c)
{
    const char *at = c->doc->text + c->pos + 1;
    const char *wrong = json_text_check_string(&at, c->doc->text + c->doc->length);
    size_t start = c->pos + 1, end = (size_t)(at - c->doc->text);
    if (wrong != NULL)
        return fail_at(c, end, wrong);
    c->pos = end + 1;
    return take_scalar(c, JSON_STRING, start, end);
}

static int check_literal(struct checker *c)
{
    static const struct {
        const char *text;
        enum json_type type;
    } literals[] = {{"true", JSON_BOOL}, {"false", JSON_BOOL}, {"null", JSON_NULL}};
    size_t start = c->pos, left = c->doc->length - start;
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
        size_t length = strlen(literals[i].text);
        if (left < length || memcmp(c->doc->text + start, literals[i].text, length) != 0)
            continue;
        c->pos += length;
        return take_scalar(c, literals[i].type, start, c->pos);
    }
    return fail_at(c, start, "expected true, false, or null");
}

static int check_number(struct checker *c)
{
    const char *at = c->doc->text + c->pos;
    const char *wrong = json_text_check_number(&at, c->doc->text + c->doc->length);
    size_t start = c->pos, end = (size_t)(at - c->doc->text);
    if (wrong != NULL)
        return fail_at(c, end, wrong);
    c->pos = end;
    return take_scalar(c, JSON_NUMBER, start, end);
}

static int open_container(struct checker *c, enum json_type type)
{
    if (c->depth >= c->limits.depth)
        return fail_limit(c, c->limits.depth, "levels of nesting");
    struct json_token *token = &c->doc->tokens[c->next];
    if (c->next >= c->doc->count || token->type != type || token->start != (int)c->pos)
        return fail_at(c, c->pos, "broken");
    *token = (struct json_token){type, (int)c->pos, 0, 0, c->container};
    c->container = c->next++;
    c->depth++;
    c->pos++;
    c->expected = type == JSON_OBJECT ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
    return 0;
}

static int compare_tokens(const struct json *doc, int a, int b)
{
    const struct json_token *left = &doc->tokens[a], *right = &doc->tokens[b];
    return json_text_compare(doc->text + left->start, (size_t)(left->end - left->start),
                             doc->text + right->start, (size_t)(right->end - right->start));
}

/* For qsort_r(3). Of equal names the later one sorts last. */
static int compare_names(const void *a, const void *b, void *doc)
{
    int left = *(const int *)a, right = *(const int *)b;
    int order = compare_tokens(doc, left, right);
    return order != 0 ? order : left - right;
}

static int fail_twice(struct checker *c, int name)
{
    const struct json_token *token = &c->doc->tokens[name];
    int length = token->end - token->start;
    return error_set(c->error, ERROR_BAD_REQUEST, NULL,
                     "JSON: member \"%.*s\" a second time at byte %d", length < 64 ? length : 64,
                     c->doc->text + token->start, token->start - 1);
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
        name = doc->tokens[name + 1].next;
    }
    qsort_r(names, count, sizeof(*names), compare_names, doc);
    int ret = 0;
    for (size_t i = 1; i < count && ret == 0; i++)
        if (compare_tokens(doc, names[i - 1], names[i]) == 0)
            ret = fail_twice(c, names[i]);
    if (names != few)
        free(names);
    return ret;
}

static int close_container(struct checker *c)
{
    if (c->lost)
        return fail_at(c, c->pos, "broken");
    int closed = c->container;
    struct json_token *token = &c->doc->tokens[closed];
    token->end = (int)++c->pos;
    c->container = token->next;
    c->depth--;
    token->next = c->next;
    after_value(c);
    return token->type == JSON_OBJECT ? check_unique_names(c, closed) : 0;
}

static int check_value(struct checker *c, int byte)
{
    if (out_of_tokens(c))
        return fail_limit(c, c->limits.tokens, "names and values");
    if (c->container >= 0 && c->doc->tokens[c->container].type == JSON_ARRAY)
        c->doc->tokens[c->container].size++;
    if (byte == '{' || byte == '[')
        return open_container(c, byte == '{' ? JSON_OBJECT : JSON_ARRAY);
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
    c->doc->tokens[c->container].size++;
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

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

int json_check(struct json *doc, struct json_limits limits, enum json_marked marked,
               struct error *error)
{
    struct checker c = {
        .doc = doc, .limits = limits, .error = error, .marked = marked, .container = -1};
    int step;
    do {
        while (c.pos < doc->length && is_space(doc->text[c.pos]))
            c.pos++;
        step = check_step(&c, c.pos < doc->length ? (unsigned char)doc->text[c.pos] : -1);
    } while (step == 0);
    if (step < 0)
        return -1;
    return marked != JSON_MARKED_ALL || c.next != doc->count ? fail_at(&c, c.pos, "broken") : 0;
}
