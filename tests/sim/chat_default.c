#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/buf.h"
#include "proto/jsonw.h"
#include "proto/mem.h"
#include "tests/sim/chat_mind.h"
#include "tests/sim/chat_talk.h"

#define ID_LENGTH  26
#define QUOTED_MAX 500
#define BLANKS     " \t\r\n\"'`<>(),;"

static bool has_word(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcasestr(text, *words)) {
            return true;
        }
    }
    return false;
}

static bool is_job_id(const char *word)
{
    static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz";
    return strlen(word) == ID_LENGTH && strspn(word, letters) == ID_LENGTH &&
           isdigit((unsigned char)*word);
}

static bool is_operation(const char *word)
{
    return strstr(word, "operations/") || is_job_id(word);
}

static bool is_image(const char *word)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".webp", NULL};
    const char *dot = strrchr(word, '.');
    for (const char *const *ending = endings; dot && *ending; ending++) {
        if (strcasecmp(dot, *ending) == 0) {
            return true;
        }
    }
    return false;
}

/* The first word of a kind, without the full stop of its sentence. To be freed; NULL: none. */
static char *find_word(const char *text, bool (*is)(const char *word))
{
    while (*(text += strspn(text, BLANKS))) {
        size_t length = strcspn(text, BLANKS);
        size_t kept = length;
        while (kept > 0 && strchr(".?!:", text[kept - 1])) {
            kept--;
        }
        char *word = mem_strndup(text, kept);
        if (is(word)) {
            return word;
        }
        free(word);
        text += length;
    }
    return NULL;
}

static void say(struct chat_thought *thought, const char *text)
{
    thought->text = mem_strdup(text);
}

/* Calls a tool with one argument besides the prompt. */
static void call(const struct chat_talk *talk, const char *tool, const char *name,
                 const char *value, bool with_prompt, struct chat_thought *ret)
{
    struct buf json;
    struct jsonw w;
    buf_init(&json, CHAT_TEXT_BYTES);
    jsonw_init(&w, &json);
    jsonw_object(&w);
    jsonw_member_string(&w, "prompt", with_prompt ? talk->user : NULL);
    jsonw_member_string(&w, name, value);
    jsonw_object_end(&w);
    ret->calls = mem_alloc(sizeof(*ret->calls));
    ret->call_count = 1;
    ret->calls[0].name = mem_strdup(tool);
    ret->calls[0].arguments = buf_steal(&json);
}

static bool check_status(const struct chat_talk *talk, struct chat_thought *ret)
{
    const char *tool = chat_talk_tool(talk, "check_video_status");
    char *operation = tool ? find_word(talk->user, is_operation) : NULL;
    if (operation) {
        call(talk, tool, "operation_name", operation, false, ret);
    }
    free(operation);
    return ret->call_count > 0;
}

static bool from_image(const struct chat_talk *talk, struct chat_thought *ret)
{
    const char *tool = chat_talk_tool(talk, "generate_video_from_image");
    char *path = tool ? find_word(talk->user, is_image) : NULL;
    if (path) {
        call(talk, tool, "image_path", path, true, ret);
    }
    free(path);
    return ret->call_count > 0;
}

static bool from_text(const struct chat_talk *talk, struct chat_thought *ret)
{
    static const char *const upright[] = {"instagram", "vertical", "tiktok", NULL};
    const char *tool = chat_talk_tool(talk, "generate_video_from_text");
    if (tool) {
        call(talk, tool, "aspect_ratio", has_word(talk->user, upright) ? "9:16" : NULL, true, ret);
    }
    return tool;
}

/* A member as a person would say it. */
static void quote(struct buf *out, struct json_value result, const char *name)
{
    struct json_value value = json_get(result, name);
    char *text = json_strdup(value, NULL);
    if (text) {
        buf_addf(out, ", %s: %s", name, text);
    } else if (json_type(value) != JSON_NONE && json_type(value) != JSON_NULL) {
        size_t length;
        const char *raw = json_raw(value, &length);
        buf_addf(out, ", %s: %.*s", name, (int)length, raw);
    }
    free(text);
}

static void quote_result(struct buf *out, const struct chat_result *result)
{
    static const char *const members[] = {"success",        "status", "video_uri",
                                          "operation_name", "error",  NULL};
    struct json *doc =
        json_parse(result->text, strlen(result->text), (struct json_limits){0}, NULL);
    struct json_value root = doc ? json_root(doc) : (struct json_value){0};
    buf_addf(out, "%s%s", out->length > 0 ? "; " : "", result->name);
    if (doc && json_type(root) == JSON_OBJECT) {
        for (const char *const *member = members; *member; member++) {
            quote(out, root, *member);
        }
    } else {
        buf_addf(out, ": %.*s", QUOTED_MAX, result->text);
    }
    json_free(doc);
}

char *chat_results(const struct chat_talk *talk)
{
    struct buf out;
    buf_init(&out, CHAT_TEXT_BYTES);
    for (size_t i = 0; i < talk->result_count; i++) {
        quote_result(&out, &talk->results[i]);
    }
    return buf_steal(&out);
}

static void report(const struct chat_talk *talk, struct chat_thought *ret)
{
    char *results = chat_results(talk);
    bool bad = strstr(results, "success: false") || strstr(results, "error: ");
    ret->text = mem_format("%s%s", results,
                           bad ? ". As an alternative I can try it in other words, or without "
                                 "what was refused."
                               : ". It has sound, and a SynthID watermark.");
    free(results);
}

void chat_default(const struct chat_talk *talk, struct chat_thought *ret)
{
    static const char *const polite[] = {"hello", "thanks", "thank you", NULL};
    if (talk->result_count > 0) {
        report(talk, ret);
    } else if (talk->tool_count == 0 || !talk->may_call || talk->step > 0) {
        say(ret, "I have no tools to make a video with.");
    } else if (has_word(talk->user, polite)) {
        say(ret, "You're welcome. Tell me what video you would like.");
    } else if (!check_status(talk, ret) && !from_image(talk, ret) && !from_text(talk, ret)) {
        say(ret, "None of my tools can do that.");
    }
}
