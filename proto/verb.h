/* The verbs of the protocol, from one table: the parser, HELP, veoctl and the manual read it. */
#ifndef VEO_VERB_H
#define VEO_VERB_H

#include <stddef.h>

enum verb_argument {
    VERB_NOTHING,   /* takes none */
    VERB_OBJECT,    /* a JSON object, or nothing */
    VERB_PROMPT,    /* plain text is the member `prompt` */
    VERB_TEXT,      /* plain text is the member `text` */
    VERB_ID,        /* plain text is the member `id`; several words are `ids` */
    VERB_ANY_TOKEN, /* plain text is echoed */
    VERB_BYTES,     /* plain text is `bytes` and, if there is more, `mime_type`; that many bytes
                     * follow the line */
};

/* name, argument, usage, summary */
#define VERBS(X)                                                                                  \
    X(GENERATE, VERB_PROMPT, "PROMPT | {\"prompt\":…}", "a new job; answers when it is on disk")  \
    X(BATCH, VERB_OBJECT, "{\"jobs\":[…]}", "many new jobs, all accepted or none")                \
    X(STATUS, VERB_ID, "ID | OPERATION", "one job, or what the provider says of an operation")    \
    X(LIST, VERB_OBJECT, "[{\"state\":[…],…}]", "jobs, newest first")                             \
    X(WAIT, VERB_ID, "ID… | {\"ids\":[…]}", "answers when the jobs have ended, or at a time-out") \
    X(WATCH, VERB_OBJECT, "[{\"from\":N,…}]", "a stream of events")                               \
    X(CANCEL, VERB_ID, "ID…", "ends jobs; tells the provider where it can be told")               \
    X(RETRY, VERB_ID, "ID…", "a new attempt for jobs that ended without a video")                 \
    X(HOLD, VERB_ID, "ID…", "keeps queued jobs from starting")                                    \
    X(RELEASE, VERB_ID, "ID…", "lets held jobs go on")                                            \
    X(FORGET, VERB_ID, "ID…", "removes ended jobs from the store")                                \
    X(WHY, VERB_ID, "ID", "what a job waits for, and what happened to it")                        \
    X(PUT, VERB_BYTES, "BYTES [MIME]", "keeps the bytes after the line for jobs: a blob")         \
    X(GET, VERB_ID, "ID | {\"id\":…,\"file\":N,\"offset\":N}", "the bytes of a result")           \
    X(ASK, VERB_TEXT, "TEXT | {\"text\":…,\"session\":…}",                                        \
      "a model makes the videos that are wished for")                                             \
    X(MODELS, VERB_NOTHING, "", "the models that can be asked for")                               \
    X(STATS, VERB_NOTHING, "", "counts, rates and latencies")                                     \
    X(METRICS, VERB_NOTHING, "", "all that there is to be measured, for Prometheus")              \
    X(COST, VERB_OBJECT, "[{\"by\":…,…}]", "what was charged, by day, owner, provider, …")        \
    X(RELOAD, VERB_NOTHING, "", "reads the configuration anew; for admins")                       \
    X(HELLO, VERB_OBJECT, "", "versions and limits")                                              \
    X(HELP, VERB_NOTHING, "", "this list")                                                        \
    X(PING, VERB_ANY_TOKEN, "[TEXT]", "answers at once")                                          \
    X(QUIT, VERB_NOTHING, "", "answers, and closes the connection")

enum verb {
    VERB_NONE,
#define X(name, argument, usage, summary) VERB_##name,
    VERBS(X)
#undef X
        VERB_END
};

struct verb_info {
    const char *name;
    enum verb_argument argument;
    const char *usage;
    const char *summary;
};

/* Never NULL for VERB_NONE < verb < VERB_END. */
const struct verb_info *verb_info(enum verb verb);

/* In any letter case; VERB_NONE if there is none of that name. */
enum verb verb_from_name(const char *name, size_t length);

#endif
