#include "proto/command.h"

#include <string.h>
#include <strings.h>

#define SHOWN_MAX 32 /* bytes of a wrong word that an answer repeats */

struct words {
    const char *at;
    const char *end;
};

struct word {
    const char *text;
    size_t length;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct words trim(const char *line, size_t length)
{
    struct words ret = {line, line + length};
    while (ret.at < ret.end && is_blank(*ret.at))
        ret.at++;
    while (ret.end > ret.at && is_blank(ret.end[-1]))
        ret.end--;
    return ret;
}

static struct word take_word(struct words *rest)
{
    struct word ret = {rest->at, 0};
    while (rest->at < rest->end && !is_blank(*rest->at))
        rest->at++;
    ret.length = (size_t)(rest->at - ret.text);
    while (rest->at < rest->end && is_blank(*rest->at))
        rest->at++;
    return ret;
}

static int shown(struct word word)
{
    return word.length < SHOWN_MAX ? (int)word.length : SHOWN_MAX;
}

/* Takes `@tag ` off, if there is one. */
static int take_tag(struct words *rest, char ret[COMMAND_TAG_MAX + 1], struct error *error)
{
    if (rest->at == rest->end || *rest->at != '@')
        return 0;
    struct word tag = take_word(rest);
    size_t length = tag.length - 1;
    if (length == 0)
        return error_set(error, ERROR_BAD_REQUEST, NULL, "expected a tag right after '@'");
    if (length > COMMAND_TAG_MAX)
        return error_set(error, ERROR_BAD_REQUEST, NULL,
                         "the tag has %zu bytes; at most %d are allowed", length, COMMAND_TAG_MAX);
    for (size_t i = 1; i <= length; i++)
        if (tag.text[i] <= ' ' || tag.text[i] > '~')
            return error_set(error, ERROR_BAD_REQUEST, NULL,
                             "a tag is printable ASCII; byte %zu is 0x%02X", i,
                             (unsigned char)tag.text[i]);
    memcpy(ret, tag.text + 1, length);
    ret[length] = '\0';
    return 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

#define DISTANCE_MAX 15 /* letters of the longest verb that is compared */

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Letters to insert, remove, replace, or swap with their neighbour (optimal string alignment). */
static size_t edit_distance(struct word typed, const char *verb)
{
    size_t rows[DISTANCE_MAX + 1][DISTANCE_MAX + 1];
    size_t columns = strlen(verb);
    for (size_t i = 0; i <= typed.length; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            char a = upper(typed.text[i - 1]), b = verb[j - 1];
            rows[i][j] =
                least(least(rows[i - 1][j], rows[i][j - 1]) + 1, rows[i - 1][j - 1] + (a != b));
            if (i > 1 && j > 1 && a == verb[j - 2] && upper(typed.text[i - 2]) == b)
                rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[typed.length][columns];
}

/* The verb that was probably meant, NULL if none is close: one slip in three letters, or a verb
 * that was cut short. */
static const char *nearest_verb(struct word typed)
{
    const char *ret = NULL;
    size_t best = typed.length / 3 + 1;
    if (typed.length < 2 || typed.length > DISTANCE_MAX)
        return NULL;
    for (enum verb verb = VERB_NONE + 1; verb < VERB_END; verb++) {
        const char *name = verb_info(verb)->name;
        if (strlen(name) > DISTANCE_MAX)
            continue;
        bool cut_short = strncasecmp(name, typed.text, typed.length) == 0;
        size_t distance = cut_short ? 0 : edit_distance(typed, name);
        if (distance < best) {
            best = distance;
            ret = name;
        }
    }
    return ret;
}

static bool starts_with(struct word word, const char *prefix)
{
    size_t length = strlen(prefix);
    return word.length >= length && memcmp(word.text, prefix, length) == 0;
}

/* `METHOD target HTTP/1.1`. GET is a verb here too, but no id is followed by that. */
static bool is_http(struct word first, struct words rest)
{
    static const char *const methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                          "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"};
    (void)take_word(&rest);
    struct word version = take_word(&rest);
    if (!starts_with(version, "HTTP/") || rest.at != rest.end)
        return false;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (first.length == strlen(methods[i]) && starts_with(first, methods[i]))
            return true;
    return false;
}

static int fail_unknown(struct word verb, struct error *error)
{
    const char *nearest = nearest_verb(verb);
    if (*verb.text == '{' || *verb.text == '[')
        return error_set(error, ERROR_BAD_REQUEST, NULL,
                         "the line begins with JSON; expected a verb before it, as in "
                         "GENERATE {\"prompt\":\"…\"}");
    if (nearest != NULL)
        return error_set(error, ERROR_UNKNOWN_VERB, NULL, "unknown verb \"%.*s\"; did you mean %s?",
                         shown(verb), verb.text, nearest);
    return error_set(error, ERROR_UNKNOWN_VERB, NULL, "unknown verb \"%.*s\"; HELP lists the verbs",
                     shown(verb), verb.text);
}

static int check_argument(const struct command *command, struct error *error)
{
    const struct verb_info *info = verb_info(command->verb);
    struct word given = {command->argument, command->argument_length};
    if (given.length == 0)
        return 0;
    if (info->argument == VERB_NOTHING)
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL, "%s takes no argument, given: %.*s",
                         info->name, shown(given), given.text);
    if (info->argument == VERB_OBJECT && !command->is_json)
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL, "%s takes a JSON object, given: %.*s",
                         info->name, shown(given), given.text);
    return 0;
}

int command_parse(const char *line, size_t length, struct command *ret, struct error *error)
{
    struct words rest = trim(line, length);
    *ret = (struct command){.argument = ""};
    if (rest.at == rest.end)
        return error_set(error, ERROR_BAD_REQUEST, NULL,
                         "empty line; expected a verb (HELP lists them)");
    if (take_tag(&rest, ret->tag, error) < 0)
        return -1;
    struct word verb = take_word(&rest);
    if (verb.length == 0)
        return error_set(error, ERROR_BAD_REQUEST, NULL, "expected a verb after the tag");
    if (is_http(verb, rest))
        return error_set(error, ERROR_BAD_REQUEST, NULL,
                         "this is HTTP; veod speaks a line protocol of its own (try HELP)");
    ret->verb = verb_from_name(verb.text, verb.length);
    if (ret->verb == VERB_NONE)
        return fail_unknown(verb, error);
    if (rest.at < rest.end)
        ret->argument = rest.at;
    ret->argument_length = (size_t)(rest.end - rest.at);
    ret->is_json = *ret->argument == '{';
    return check_argument(ret, error);
}

static const char *const reply_words[] = {
    [REPLY_OK] = "OK",       [REPLY_ERR] = "ERR",   [REPLY_ITEM] = "ITEM",
    [REPLY_EVENT] = "EVENT", [REPLY_DATA] = "DATA", [REPLY_UNKNOWN] = "UNKNOWN",
};

const char *reply_word_name(enum reply_word word)
{
    return reply_words[word <= REPLY_UNKNOWN ? word : REPLY_UNKNOWN];
}

int reply_parse(const char *line, size_t length, struct reply *ret)
{
    struct words rest = trim(line, length);
    *ret = (struct reply){.word = REPLY_OK};
    if (take_tag(&rest, ret->tag, NULL) < 0)
        return -1;
    struct word word = take_word(&rest);
    if (word.length == 0 || rest.at == rest.end || *rest.at != '{')
        return -1;
    while (ret->word < REPLY_UNKNOWN && (word.length != strlen(reply_words[ret->word]) ||
                                         !starts_with(word, reply_words[ret->word])))
        ret->word++;
    ret->json = rest.at;
    ret->json_length = (size_t)(rest.end - rest.at);
    return 0;
}
