#include "proto/tool.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mem.h"
#include "proto/tool_internal.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define BIT(tool) (1U << (tool))
#define TEXT      BIT(TOOL_FROM_TEXT)
#define IMAGE     BIT(TOOL_FROM_IMAGE)
#define CHECK     BIT(TOOL_CHECK)
#define MAKES     (TEXT | IMAGE)

#define SHOWN 60 /* bytes of something wrong that are quoted */

#define ABOUT_MAKING                                                                          \
    "It takes from half a minute to several minutes and costs money: call it once for each "  \
    "video that is wanted. The result has the video's path and video_uri once its status is " \
    "\"completed\"; with status \"processing\" it is still being generated, under the "       \
    "operation_name that is given."

static const struct tool_info infos[TOOL_COUNT] = {
    [TOOL_FROM_TEXT] = {"generate_video_from_text", "Generate a video from text",
                        "Generates a video, with sound where the model makes any, from a "
                        "description in words. " ABOUT_MAKING},
    [TOOL_FROM_IMAGE] = {"generate_video_from_image", "Generate a video from an image",
                         "Generates a video that begins with an image file and moves as the prompt "
                         "describes. " ABOUT_MAKING},
    [TOOL_CHECK] =
        {"check_video_status", "Check a video's status",
         "Tells how a video gets on that was asked for earlier: whether it is completed, and "
         "where it is then; still processing; or failed, and why. It starts nothing and costs "
         "nothing."},
};

static const struct tool_argument arguments_table[] = {
    {"prompt", TOOL_TEXT, MAKES, MAKES, offsetof(struct tool_call, prompt),
     "What the video shows: subject, action, setting, camera, light, style, and what is heard. "
     "For an image, what moves and how."},
    {"image_path", TOOL_TEXT, IMAGE, IMAGE, offsetof(struct tool_call, image_path),
     "Path of the image file that the video begins with: JPEG, PNG or WebP."},
    {"operation_name", TOOL_TEXT, CHECK, CHECK, offsetof(struct tool_call, operation),
     "The operation_name or job of an earlier result."},
    {"aspect_ratio", TOOL_TEXT, MAKES, 0, offsetof(struct tool_call, aspect_ratio),
     "Width to height: \"16:9\" for screens, \"9:16\" for phones and stories; few models take "
     "others. Left out, the model decides."},
    {"resolution", TOOL_TEXT, MAKES, 0, offsetof(struct tool_call, resolution),
     "As \"720p\" or \"1080p\"; which ones there are depends on the model, and more costs more. "
     "Left out, the model decides."},
    {"negative_prompt", TOOL_TEXT, MAKES, 0, offsetof(struct tool_call, negative_prompt),
     "What should not be seen or heard, as plain nouns: \"text, logos\". Not every model takes "
     "it; the prompt can say it as well."},
    {"model", TOOL_TEXT, MAKES, 0, offsetof(struct tool_call, model),
     "Name of the video model; left out, the server's default. Only if a certain one is wanted."},
    {"duration_seconds", TOOL_NUMBER, MAKES, 0, offsetof(struct tool_call, duration_seconds),
     "Length of the video in seconds; what is possible depends on the model, and more costs more. "
     "Left out, the model decides."},
    {"wait", TOOL_FLAG, MAKES, 0, offsetof(struct tool_call, wait),
     "True, the default: answer when the video is there, or after a while with status "
     "\"processing\". False: answer as soon as the job is accepted."},
    {"wait", TOOL_FLAG, CHECK, 0, offsetof(struct tool_call, wait),
     "True: wait a while for the video's end before answering. False, the default: answer at "
     "once."},
};

_Static_assert(COUNT(arguments_table) <= TOOL_ARGUMENTS_MAX, "too many arguments");

const struct tool_info *tool_info(enum tool tool)
{
    return &infos[tool];
}

enum tool tool_named(const char *name)
{
    for (unsigned i = 0; name && i < TOOL_COUNT; i++)
        if (strcmp(infos[i].name, name) == 0)
            return (enum tool)i;
    return TOOL_COUNT;
}

const struct tool_argument *tool_argument_next(enum tool tool, const struct tool_argument *last)
{
    const struct tool_argument *end = arguments_table + COUNT(arguments_table);
    for (last = last ? last + 1 : arguments_table; last < end; last++)
        if (last->tools & BIT(tool))
            return last;
    return NULL;
}

bool tool_argument_required(enum tool tool, const struct tool_argument *argument)
{
    return (argument->required & BIT(tool)) != 0;
}

static const struct tool_argument *find_argument(enum tool tool, struct json_value name)
{
    const struct tool_argument *argument = NULL;
    while ((argument = tool_argument_next(tool, argument)))
        if (json_equals(name, argument->name))
            break;
    return argument;
}

static int refuse_unknown(enum tool tool, struct json_value name, struct error *error)
{
    char taken[200] = "";
    const struct tool_argument *argument = NULL;
    while ((argument = tool_argument_next(tool, argument))) {
        strncat(taken, *taken ? ", " : "", sizeof(taken) - strlen(taken) - 1);
        strncat(taken, argument->name, sizeof(taken) - strlen(taken) - 1);
    }
    size_t length;
    const char *raw = json_raw(name, &length);
    char *text = json_strdup(name, NULL);
    int status =
        error_set(error, ERROR_INVALID_ARGUMENT, text, "%s has no argument %.*s; it takes %s",
                  infos[tool].name, length > SHOWN ? SHOWN : (int)length, raw, taken);
    free(text);
    return status;
}

static int refuse_type(const struct tool_argument *argument, struct json_value value,
                       struct error *error)
{
    static const char *const expected[] = {
        [TOOL_TEXT] = "a string without NUL",
        [TOOL_NUMBER] = "a number, such as 6",
        [TOOL_FLAG] = "true or false",
    };
    size_t length;
    const char *raw = json_raw(value, &length);
    return error_set(error, ERROR_INVALID_ARGUMENT, argument->name, "%s must be %s, not %.*s",
                     argument->name, expected[argument->type], length > SHOWN ? SHOWN : (int)length,
                     raw);
}

static int read_argument(const struct tool_argument *argument, struct json_value value,
                         struct tool_call *call, struct error *error)
{
    void *place = (char *)call + argument->offset;
    if (argument->type == TOOL_NUMBER)
        return json_double(value, -DBL_MAX, DBL_MAX, place) == 0
                   ? 0
                   : refuse_type(argument, value, error);
    if (argument->type == TOOL_FLAG)
        return json_bool(value, place) == 0 ? 0 : refuse_type(argument, value, error);
    char *text = json_strdup(value, NULL);
    if (!text)
        return refuse_type(argument, value, error);
    if (!*text) {
        free(text);
        return 0;
    }
    *(char **)place = text;
    return 0;
}

static int check_required(const struct tool_call *call, struct error *error)
{
    const struct tool_argument *argument = NULL;
    while ((argument = tool_argument_next(call->tool, argument))) {
        const char *text = NULL;
        if (!tool_argument_required(call->tool, argument))
            continue;
        memcpy(&text, (const char *)call + argument->offset, sizeof(text));
        if (!text)
            return error_set(error, ERROR_INVALID_ARGUMENT, argument->name,
                             "%s needs %s, and it is missing or empty", infos[call->tool].name,
                             argument->name);
    }
    return 0;
}

static int read_all(struct json_value arguments, struct tool_call *call, struct error *error)
{
    enum json_type type = json_type(arguments);
    if (type != JSON_OBJECT && type != JSON_NONE && type != JSON_NULL)
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                         "the arguments must be an object, not %s", json_type_name(type));
    for (struct json_iter it = json_iter(arguments); json_next(&it);) {
        const struct tool_argument *argument = find_argument(call->tool, it.name);
        if (!argument && json_equals(it.name, "_meta"))
            continue;
        if (!argument)
            return refuse_unknown(call->tool, it.name, error);
        /* Some models send null for what they leave out. */
        if (json_type(it.value) != JSON_NULL && read_argument(argument, it.value, call, error) < 0)
            return -1;
    }
    return check_required(call, error);
}

int tool_read(enum tool tool, struct json_value arguments, struct tool_call *ret,
              struct error *error)
{
    *ret = (struct tool_call){.tool = tool, .wait = tool != TOOL_CHECK};
    if (read_all(arguments, ret, error) == 0)
        return 0;
    tool_call_free(ret);
    return -1;
}

void tool_call_free(struct tool_call *call)
{
    for (size_t i = 0; i < COUNT(arguments_table); i++) {
        if (arguments_table[i].type != TOOL_TEXT)
            continue;
        char **place = (char **)(void *)((char *)call + arguments_table[i].offset);
        free(*place);
        *place = NULL;
    }
}

void tool_write_request(const struct tool_call *call, struct jsonw *w)
{
    jsonw_member_string(w, "prompt", call->prompt);
    jsonw_member_string(w, "model", call->model);
    jsonw_member_string(w, "aspect_ratio", call->aspect_ratio);
    jsonw_member_string(w, "resolution", call->resolution);
    if (call->duration_seconds != 0)
        jsonw_member_double(w, "duration_seconds", call->duration_seconds);
    jsonw_member_string(w, "negative_prompt", call->negative_prompt);
}
