#include "proto/ctl/commands.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 16
#define NEAR           3 /* edits */

static const struct option_spec generate_options[] = {
    {OPTION_MODEL, "model", "MODEL", "which model; the daemon has a default"},
    {OPTION_PROVIDER, "provider", "NAME", "which provider; otherwise one that has the model"},
    {OPTION_ASPECT, "aspect", "W:H", "aspect ratio, such as 16:9 or 9:16"},
    {OPTION_RESOLUTION, "resolution", "R", "720p, 1080p, …"},
    {OPTION_DURATION, "duration", "D", "length of the video: 8 or 8s"},
    {OPTION_NEGATIVE, "negative", "TEXT", "what should not be seen"},
    {OPTION_IMAGE, "image", "IMAGE", "the first frame"},
    {OPTION_LAST_FRAME, "last-frame", "IMAGE", "the last frame"},
    {OPTION_REFERENCE, "reference", "IMAGE", "what things look like; may be given several times"},
    {OPTION_VIDEO, "video", "VIDEO", "a video to start from: a file, a job or an operation"},
    {OPTION_EXTEND, "extend", NULL, "go on where --video ends"},
    {OPTION_EDIT, "edit", NULL, "change --video as the prompt says"},
    {OPTION_SEED, "seed", "N", "for a result that can be repeated"},
    {OPTION_SAMPLES, "samples", "N", "how many videos of one prompt"},
    {OPTION_PERSON, "person-generation", "WHOM", "allow_all, allow_adult, dont_allow"},
    {OPTION_AUDIO, "audio", NULL, "with sound"},
    {OPTION_NO_AUDIO, "no-audio", NULL, "without sound"},
    {OPTION_ENHANCE, "enhance", NULL, "let the provider embellish the prompt"},
    {OPTION_NO_ENHANCE, "no-enhance", NULL, "take the prompt as it is"},
    {OPTION_PRIORITY, "priority", "N", "-100 to 100, higher first"},
    {OPTION_LABEL, "label", "K=V", "a label; may be given several times"},
    {OPTION_KEY, "key", "KEY", "the same key with the same request is the same job"},
    {OPTION_NOT_BEFORE, "not-before", "T", "start at a time, or +D from now"},
    {OPTION_DEADLINE, "deadline", "D", "give up after that long"},
    {OPTION_MAX_ATTEMPTS, "max-attempts", "N", "how often it may be tried"},
    {OPTION_OUTPUT_NAME, "output-name", "NAME", "how the daemon names the video in its own folder"},
    {OPTION_DRY_RUN, "dry-run", NULL, "check, price and show the request; send nothing"},
    {OPTION_FORCE, "force", NULL, "send what the model isn't known to accept"},
    {OPTION_WAIT, "wait", NULL, "wait for the end, and show the way there"},
    {OPTION_OUTPUT, "output", "FILE", "wait, and write the video there; DIR/ or - as well"},
    {OPTION_OVERWRITE, "overwrite", NULL, "--output may replace a file"},
    {OPTION_RECONNECT, "reconnect", "D", "while waiting, look for a lost daemon that long (60s)"},
    {0},
};

static const struct option_spec batch_options[] = {
    {OPTION_WAIT, "wait", NULL, "wait for the ends; then they are what is printed"},
    {OPTION_OUTPUT, "output", "DIR", "wait, and write the videos there, as ID.mp4"},
    {OPTION_OVERWRITE, "overwrite", NULL, "--output may replace files"},
    {OPTION_DRY_RUN, "dry-run", NULL, "check and price all; send nothing"},
    {OPTION_KEY, "key", "NAME", "the batch's name (the file's); another one buys all anew"},
    {OPTION_RECONNECT, "reconnect", "D", "look for a lost daemon that long (60s)"},
    {0},
};

static const struct option_spec list_options[] = {
    {OPTION_STATE, "state", "S,…", "only jobs in these states"},
    {OPTION_MODEL, "model", "MODEL", "only jobs of this model"},
    {OPTION_LABEL, "label", "K=V", "only jobs with this label; K alone: with any value"},
    {OPTION_OWNER, "owner", "USER", "only jobs of this user, by name or number"},
    {OPTION_SINCE, "since", "T", "only jobs made since a time, or in the last D"},
    {OPTION_UNTIL, "until", "T", "only jobs made before"},
    {OPTION_LIMIT, "limit", "N", "at most so many (100)"},
    {OPTION_ALL, "all", NULL, "without a limit"},
    {OPTION_PLAIN, "plain", NULL, "tab-separated, without a header, as in a pipe"},
    {0},
};

static const struct option_spec wait_options[] = {
    {OPTION_RECONNECT, "reconnect", "D", "look for a lost daemon that long (60s)"},
    {0},
};

static const struct option_spec watch_options[] = {
    {OPTION_FROM, "from", "N", "start with event number N"},
    {OPTION_STATE, "state", "S,…", "only changes to these states"},
    {OPTION_MODEL, "model", "MODEL", "only jobs of this model"},
    {OPTION_LABEL, "label", "K=V", "only jobs with this label"},
    {OPTION_OWNER, "owner", "USER", "only jobs of this user"},
    {OPTION_PLAIN, "plain", NULL, "tab-separated, as in a pipe"},
    {OPTION_RECONNECT, "reconnect", "D", "look for a lost daemon that long (60s)"},
    {0},
};

static const struct option_spec get_options[] = {
    {OPTION_OUTPUT, "output", "FILE", "a file, a folder, or - for standard output (ID.mp4)"},
    {OPTION_FILE, "file", "N", "which result, from 0"},
    {OPTION_OVERWRITE, "overwrite", NULL, "replace a file"},
    {OPTION_RECONNECT, "reconnect", "D", "look for a lost daemon that long (60s)"},
    {0},
};

static const struct option_spec forget_options[] = {
    {OPTION_FILES, "files", NULL, "remove the videos as well"},
    {0},
};

static const struct option_spec ask_options[] = {
    {OPTION_SESSION, "session", "ID", "go on with that conversation; 'last': with the last one"},
    {OPTION_CONTINUE, "continue", NULL, "the same as --session last"},
    {OPTION_OUTPUT, "output", "DIR", "wait for all videos, and write them there; FILE as well"},
    {OPTION_OVERWRITE, "overwrite", NULL, "--output may replace files"},
    {OPTION_RECONNECT, "reconnect", "D", "look for a lost daemon that long (60s)"},
    {0},
};

static const struct option_spec cost_options[] = {
    {OPTION_BY, "by", "WHAT", "day, owner, provider, model or label:NAME (day)"},
    {OPTION_SINCE, "since", "T", "only what was charged since a time, or in the last D"},
    {OPTION_UNTIL, "until", "T", "only what was charged before"},
    {OPTION_OWNER, "owner", "USER", "only this user's jobs, by name or number"},
    {OPTION_CSV, "csv", NULL, "comma-separated values with a header (RFC 4180)"},
    {OPTION_PLAIN, "plain", NULL, "tab-separated, without a header, as in a pipe"},
    {0},
};

static const struct option_spec models_options[] = {
    {OPTION_PLAIN, "plain", NULL, "tab-separated, without a header, as in a pipe"},
    {0},
};

static const struct option_spec metrics_options[] = {
    {OPTION_TEXTFILE, "textfile", "FILE", "write them there, in the place of what was there"},
    {0},
};

static const struct option_spec mcp_options[] = {
    {OPTION_OUTPUT, "output", "DIR", "copy finished videos there, as ID.mp4, with your own rights"},
    {OPTION_WAIT_FOR, "wait", "D", "how long a tool waits for its video, at most 50s (45s)"},
    {0},
};

static const char generate_more[] =
    "PROMPT - reads standard input. With --wait the path of the video is printed in place of the\n"
    "id; with --output, where it was written: FILE, and FILE-1 and so on for further samples.\n\n"
    "IMAGE and VIDEO are a file, which is read with your own rights and sent to the daemon; a "
    "blob\n"
    "(sha256-…, of 'veoctl put'); a job, whose result is meant ('last' is your newest one); or, of "
    "a\n"
    "video, an operation's name. A file that exists comes first, and ./NAME is always a file.";

static const char batch_more[] =
    "A line is an object of GENERATE's members, or a string: a prompt. Its image, last_frame, "
    "video\n"
    "and reference_images may name files, as those of 'veoctl generate'. Prints the number of "
    "each\n"
    "line, its job's id and state, and why or where; 'error' is the state of a line that was "
    "refused,\n"
    "which doesn't stop the others: then the exit status is 8, or 1 if a job failed.\n\n"
    "Each line has a key, its own or one made of its content and the batch's name. So the same "
    "command\n"
    "can be given again: it goes on where it was interrupted, and buys nothing twice. Ctrl-C "
    "leaves\n"
    "the jobs running.";

static const char wait_more[] =
    "ID may be the beginning of an id, or 'last': your newest job. A held or uncertain job ends "
    "the\n"
    "wait too, since only a person can move it on. --timeout D stops waiting after D.";

static const char ask_more[] =
    "A model picks what to generate, waits for it, and answers: on standard output, while the "
    "steps\n"
    "and the videos' paths are told on standard error. WORDS - reads standard input. Images may "
    "be\n"
    "named by their path, which counts from the current folder, and must be readable by you.\n\n"
    "Without WORDS on a terminal: a prompt, whose lines are one conversation; /help tells of it.\n"
    "Without WORDS and with --session: the answer of that session's last turn, which is waited "
    "for.\n\n"
    "Ctrl-C cancels the turn; what was submitted goes on. --timeout D stops waiting after D, and "
    "the\n"
    "turn goes on, as it does when veoctl is killed or veod restarts.";

static const char metrics_more[] =
    "In Prometheus' text format. FILE, in the folder of node_exporter's textfile collector, ends "
    "in\n"
    ".prom; it also tells whether veod has answered, as veod_up, and is written if it has not. "
    "What is\n"
    "charged is for admins.";

static const char mcp_more[] =
    "Speaks the Model Context Protocol on standard input and output, for agents and editors that\n"
    "start it themselves:\n\n"
    "  {\"mcpServers\": {\"veod\": {\"command\": \"veoctl\", \"args\": [\"mcp\"]}}}\n\n"
    "Its tools make videos from text and from images, wait for them, list and cancel them, and "
    "tell\n"
    "costs and models; all as the user that runs it. Where the agent starts programs without your\n"
    "environment, name the socket: \"args\": [\"--socket\", \"PATH\", \"mcp\"]. A video that takes "
    "longer\n"
    "than --wait goes on; the agent is told to wait for it again.";

static const struct ctl_command commands[] = {
    {"generate", "[OPTION…] PROMPT…", "ask for a video; prints the job's id", generate_options,
     cmd_generate, generate_more},
    {"batch", "[OPTION…] FILE.jsonl|-", "ask for many: one JSON object or string a line",
     batch_options, cmd_batch, batch_more},
    {"ask", "[OPTION…] [WORDS…]", "say what is wished for; a model makes the videos", ask_options,
     cmd_ask, ask_more},
    {"put", "FILE…", "keep files with the daemon; prints their blobs", NULL, cmd_put,
     "A blob (sha256-…) can be named wherever an image or a video can, here and in a batch."},
    {"status", "ID", "all that is known of a job", NULL, cmd_status, NULL},
    {"list", "[OPTION…]", "jobs, newest first", list_options, cmd_list, NULL},
    {"wait", "ID…|last", "wait until the jobs have ended", wait_options, cmd_wait, wait_more},
    {"watch", "[OPTION…] [ID…]", "events as they happen", watch_options, cmd_watch, NULL},
    {"get", "ID [-o FILE]", "fetch a result", get_options, cmd_get, NULL},
    {"cancel", "ID…", "end jobs", NULL, cmd_cancel, NULL},
    {"retry", "ID…", "try jobs again that ended without a video", NULL, cmd_retry, NULL},
    {"hold", "ID…", "keep queued jobs from starting", NULL, cmd_hold, NULL},
    {"release", "ID…", "let held jobs go on", NULL, cmd_release, NULL},
    {"forget", "[--files] ID…", "remove ended jobs", forget_options, cmd_forget, NULL},
    {"why", "ID", "what a job waits for, and what happened to it", NULL, cmd_why, NULL},
    {"models", "", "the models that can be asked for", models_options, cmd_models, NULL},
    {"cost", "[OPTION…]", "what was charged, and what is left of the budget", cost_options,
     cmd_cost,
     "On a terminal, OF IT UNSURE is that part of which nobody knows whether the provider charges "
     "it."},
    {"stats", "", "counts, rates and latencies", NULL, cmd_stats, NULL},
    {"metrics", "[--textfile FILE]", "all that there is to be measured, for Prometheus",
     metrics_options, cmd_metrics, metrics_more},
    {"ping", "", "how long an answer takes", NULL, cmd_ping, NULL},
    {"hello", "", "the daemon's version and limits", NULL, cmd_hello, NULL},
    {"reload", "", "let the daemon read its configuration anew", NULL, cmd_reload, NULL},
    {"raw", "LINE…", "send a line of the protocol as it is, and print what comes", NULL, cmd_raw,
     "Ends with the line's OK, ERR or DATA; WATCH goes on until it is interrupted."},
    {"mcp", "[OPTION…]", "the tools for agents, over MCP on standard input and output", mcp_options,
     cmd_mcp, mcp_more},
    {"help", "[COMMAND]", "this list, or a command's options", NULL, cmd_help, NULL},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

const struct ctl_command *commands_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance, one row at a time. */
static size_t distance(const char *from, const char *to)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t length = strlen(to);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; from[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t cost = diagonal + (from[i] != to[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(cost, row[j] + 1, diagonal + 1);
        }
    }
    return row[length];
}

const struct ctl_command *commands_nearest(const char *name)
{
    const struct ctl_command *nearest = NULL;
    size_t best = NEAR;
    for (size_t i = 0; i < COMMAND_COUNT && strlen(name) <= NAME_MAX_BYTES; i++) {
        size_t edits = distance(name, commands[i].name);
        if (edits < best && edits < strlen(name)) {
            best = edits;
            nearest = &commands[i];
        }
    }
    return nearest;
}

void commands_print_help(void)
{
    puts("Usage: veoctl [OPTION…] COMMAND …\n\nGenerates video through the veod daemon.\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    puts("\nOptions:");
    args_print_help(args_common);
    puts("\nExit status: 0 done, 1 failed or filtered, 2 usage, 3 not found, 4 no daemon,\n"
         "5 timed out, 6 cancelled, 7 uncertain, 8 refused or held, 9 protocol or internal error.\n"
         "'veoctl COMMAND --help' tells more of a command.");
}

void commands_print_help_of(const struct ctl_command *command)
{
    printf("Usage: veoctl %s %s\n\n%s: %s.\n", command->name, command->syntax, command->name,
           command->summary);
    if (command->more)
        printf("\n%s\n", command->more);
    puts("\nOptions:");
    args_print_help(command->options);
    args_print_help(args_common);
}
