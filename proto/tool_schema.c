#include "proto/schema.h"
#include "proto/tool_internal.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char *const type_names[] = {
    [TOOL_TEXT] = "string",
    [TOOL_NUMBER] = "number",
    [TOOL_FLAG] = "boolean",
};

/* What isn't listed is not forbidden: clients put `_meta` among the arguments. */
void tool_write_input_schema(enum tool tool, struct jsonw *w)
{
    const char *required[TOOL_ARGUMENTS_MAX + 1] = {NULL};
    size_t count = 0;
    const struct tool_argument *argument = NULL;
    schema_begin(w);
    while ((argument = tool_argument_next(tool, argument))) {
        const struct schema_property property = {argument->name, type_names[argument->type],
                                                 argument->description};
        schema_write_properties(w, &property, 1);
        if (tool_argument_required(tool, argument))
            required[count++] = argument->name;
    }
    schema_end(w, required);
}

static void write_status_schema(struct jsonw *w)
{
    static const struct schema_property status = {
        "status", "string",
        "completed: the video is there. processing: ask again later. filtered: the "
        "provider's safety filter stopped it, at no charge. uncertain: nobody knows "
        "whether the provider took it. held: it waits for a person or a budget."};
    static const char *const words[] = {"completed", "processing", "failed",    "filtered",
                                        "cancelled", "expired",    "uncertain", "held"};
    schema_begin_property(w, &status);
    jsonw_name(w, "enum");
    jsonw_array(w);
    for (size_t i = 0; i < COUNT(words); i++)
        jsonw_string(w, words[i]);
    jsonw_array_end(w);
    jsonw_object_end(w);
}

static const struct schema_property files[] = {
    {"path", "string", "Where it is."},
    {"bytes", "integer", "Its size."},
    {"mime_type", "string", "Its type, as video/mp4."},
};

static const struct schema_property progress[] = {
    {"elapsed_seconds", "number", "How long the provider has been at it."},
    {"expected_seconds", "number", "How long such videos took lately."},
};

static const struct schema_property results[] = {
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
    static const char *const required[] = {"success", NULL};
    (void)tool;
    schema_begin(w);
    write_status_schema(w);
    schema_write_properties(w, results, COUNT(results));
    schema_write_rows(w, "files", "All files of a completed video.", files, COUNT(files));
    schema_write_object(w, "progress", "How far it is, where that can be told.", progress,
                        COUNT(progress));
    schema_end(w, required);
}
