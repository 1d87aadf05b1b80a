#include "proto/tool_internal.h"

#include <string.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char *const type_names[] = {
    [TOOL_TEXT] = "string",
    [TOOL_NUMBER] = "number",
    [TOOL_FLAG] = "boolean",
};

static void begin_property(struct jsonw *w, const char *name, const char *type,
                           const char *description)
{
    jsonw_name(w, name);
    jsonw_object(w);
    jsonw_member_string(w, "type", type);
    jsonw_member_string(w, "description", description);
}

static void write_property(struct jsonw *w, const char *name, const char *type,
                           const char *description)
{
    begin_property(w, name, type, description);
    jsonw_object_end(w);
}

/* What isn't listed is not forbidden: clients put `_meta` among the arguments. */
void tool_write_input_schema(enum tool tool, struct jsonw *w)
{
    const struct tool_argument *argument = NULL;
    jsonw_object(w);
    jsonw_member_string(w, "type", "object");
    jsonw_name(w, "properties");
    jsonw_object(w);
    while ((argument = tool_argument_next(tool, argument)))
        write_property(w, argument->name, type_names[argument->type], argument->description);
    jsonw_object_end(w);
    jsonw_name(w, "required");
    jsonw_array(w);
    while ((argument = tool_argument_next(tool, argument)))
        if (tool_argument_required(tool, argument))
            jsonw_string(w, argument->name);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

struct property {
    const char *name;
    const char *type;
    const char *description;
};

static void write_properties(struct jsonw *w, const struct property *properties, size_t count)
{
    for (size_t i = 0; i < count; i++)
        write_property(w, properties[i].name, properties[i].type, properties[i].description);
}

static void write_object_schema(struct jsonw *w, const struct property *properties, size_t count)
{
    jsonw_name(w, "properties");
    jsonw_object(w);
    write_properties(w, properties, count);
    jsonw_object_end(w);
}

static void write_status_schema(struct jsonw *w)
{
    static const char *const words[] = {"completed", "processing", "failed",    "filtered",
                                        "cancelled", "expired",    "uncertain", "held"};
    begin_property(w, "status", "string",
                   "completed: the video is there. processing: ask again later. filtered: the "
                   "provider's safety filter stopped it, at no charge. uncertain: nobody knows "
                   "whether the provider took it. held: it waits for a person or a budget.");
    jsonw_name(w, "enum");
    jsonw_array(w);
    for (size_t i = 0; i < COUNT(words); i++)
        jsonw_string(w, words[i]);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static void write_files_schema(struct jsonw *w)
{
    static const struct property properties[] = {
        {"path", "string", "Where it is."},
        {"bytes", "integer", "Its size."},
        {"mime_type", "string", "Its type, as video/mp4."},
    };
    begin_property(w, "files", "array", "All files of a completed video.");
    jsonw_name(w, "items");
    jsonw_object(w);
    jsonw_member_string(w, "type", "object");
    write_object_schema(w, properties, COUNT(properties));
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static void write_progress_schema(struct jsonw *w)
{
    static const struct property properties[] = {
        {"elapsed_seconds", "number", "How long the provider has been at it."},
        {"expected_seconds", "number", "How long such videos took lately."},
    };
    begin_property(w, "progress", "object", "How far it is, where that can be told.");
    write_object_schema(w, properties, COUNT(properties));
    jsonw_object_end(w);
}

static const struct property results[] = {
    {"success", "boolean", "True if the video is completed or being processed."},
    {"job", "string", "The job's id."},
    {"operation_name", "string",
     "The provider's name for the operation, or the job's id while there is none; "
     "check_video_status takes either."},
    {"video_uri", "string",
     "Where the provider has the video, for a short time and behind its key; or the file's URI."},
    {"path", "string", "The video's file."},
    {"prompt", "string", "As it was given."},
    {"aspect_ratio", "string", "As it was given."},
    {"resolution", "string", "As it was given."},
    {"negative_prompt", "string", "As it was given."},
    {"duration_seconds", "number", "As it was given."},
    {"image_path", "string", "As it was given."},
    {"model", "string", "The video model."},
    {"provider", "string", "Who was asked."},
    {"error", "string", "What went wrong, in one line."},
    {"code", "string", "The same as a word for programs."},
    {"field", "string", "The argument that is to blame."},
    {"message", "string", "What to do next."},
    {"cost_usd", "number", "Dollars that it cost; an estimate as long as it is not at its end."},
};

/* All tools return the same object, of which each call fills what there is. */
void tool_write_output_schema(enum tool tool, struct jsonw *w)
{
    (void)tool;
    jsonw_object(w);
    jsonw_member_string(w, "type", "object");
    jsonw_name(w, "properties");
    jsonw_object(w);
    write_status_schema(w);
    write_properties(w, results, COUNT(results));
    write_files_schema(w);
    write_progress_schema(w);
    jsonw_object_end(w);
    jsonw_name(w, "required");
    jsonw_array(w);
    jsonw_string(w, "success");
    jsonw_array_end(w);
    jsonw_object_end(w);
}
