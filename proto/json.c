#include "proto/json.h"

#include <stdlib.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "proto/json_doc.h"
#include "proto/mem.h"

#define MAX_TEXT   ((size_t)1 << 30) /* jsmn counts in int */
#define FIRST_ROOM 32u
#define ROOM_STEP  256u

/* The containers that are open around a token. */
static unsigned open_containers(const jsmntok_t *tokens, int token)
{
    unsigned ret = 0;
    for (; token >= 0; token = tokens[token].parent)
        ret += tokens[token].type == JSMN_OBJECT || tokens[token].type == JSMN_ARRAY;
    return ret;
}

/* Room is given in small steps, with a look at the depth at each: jsmn searches for the container
 * that a bracket closes from the innermost token outward, quadratic time in a deep nest. */
static int run_jsmn(jsmn_parser *parser, const struct json *doc, struct json_limits limits,
                    jsmntok_t **tokens)
{
    unsigned capacity = 0, room = 0;
    int result;
    jsmn_init(parser);
    do {
        unsigned more = room < FIRST_ROOM ? FIRST_ROOM : room < ROOM_STEP ? room : ROOM_STEP;
        room = more < limits.tokens - room ? room + more : limits.tokens;
        if (room > capacity) {
            capacity = room > capacity * 2 ? room : capacity * 2;
            *tokens = mem_resize(*tokens, capacity, sizeof(**tokens));
        }
        result = jsmn_parse(parser, doc->text, doc->length, *tokens, room);
    } while (result == JSMN_ERROR_NOMEM && room < limits.tokens &&
             open_containers(*tokens, parser->toksuper) <= limits.depth);
    return result;
}

static void copy_tokens(struct json *doc, const jsmntok_t *tokens, unsigned count)
{
    static const enum json_type types[] = {
        [JSMN_OBJECT] = JSON_OBJECT,
        [JSMN_ARRAY] = JSON_ARRAY,
        [JSMN_STRING] = JSON_STRING,
        [JSMN_PRIMITIVE] = JSON_NONE,
    };
    doc->tokens = mem_alloc(count * sizeof(*doc->tokens));
    /* jsmn may have stopped with a last token allocated that has only a start of -1. */
    for (unsigned i = 0; i < count && tokens[i].start >= 0; i++) {
        doc->count++;
        doc->tokens[i].type = types[tokens[i].type];
        doc->tokens[i].start = tokens[i].start;
        doc->tokens[i].end = tokens[i].end;
    }
}

static enum json_marked tokenize(struct json *doc, struct json_limits limits)
{
    jsmn_parser parser;
    jsmntok_t *tokens = NULL;
    int result = run_jsmn(&parser, doc, limits, &tokens);
    /* In its strict mode jsmn wants a delimiter behind a primitive; a text that is one has none. */
    if (result == JSMN_ERROR_PART && parser.toknext == 0 && doc->text[parser.pos] != '"') {
        tokens[0] = (jsmntok_t){JSMN_PRIMITIVE, (int)parser.pos, (int)doc->length, 0, -1};
        parser.toknext = 1;
        result = 1;
    }
    copy_tokens(doc, tokens, parser.toknext);
    free(tokens);
    return result >= 0                  ? JSON_MARKED_ALL
           : result == JSMN_ERROR_NOMEM ? JSON_TOO_MANY_TOKENS
                                        : JSON_MARKED_PART;
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
    if (limits.tokens > MAX_TEXT)
        limits.tokens = MAX_TEXT;
    struct json *doc = mem_alloc(sizeof(*doc));
    doc->text = text;
    doc->length = length;
    if (json_check(doc, limits, tokenize(doc, limits), error) == 0)
        return doc;
    json_free(doc);
    return NULL;
}

void json_free(struct json *doc)
{
    if (doc == NULL)
        return;
    free(doc->tokens);
    free(doc);
}
