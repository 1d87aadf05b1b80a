#include "tests/sim/options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/units.h"
#include "tests/sim/chat_mind.h"

enum option_code {
    OPTION_PORT = 256,
    OPTION_PORT_FILE,
    OPTION_FOREIGN_PORT,
    OPTION_LISTEN,
    OPTION_KEY,
    OPTION_LATENCY,
    OPTION_PROCESSING,
    OPTION_VIDEO_BYTES,
    OPTION_SEED,
    OPTION_GONE,
    OPTION_DELIVERY,
    OPTION_OUTPUTS_SHAPE,
    OPTION_PUBLIC_BASE,
    OPTION_QUOTA,
    OPTION_QUOTA_KIND,
    OPTION_QUOTA_RETRY_INFO,
    OPTION_IN_FLIGHT,
    OPTION_SERVICE_ACCOUNT,
    OPTION_TOKEN,
    OPTION_TOKEN_SECONDS,
    OPTION_VIDEOS_STATUS,
    OPTION_SEED_ROUTE,
    OPTION_DIE_WITH_PARENT,
    OPTION_QUIET,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPTION_PORT},
    {"port-file", required_argument, NULL, OPTION_PORT_FILE},
    {"foreign-port", required_argument, NULL, OPTION_FOREIGN_PORT},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"key", required_argument, NULL, OPTION_KEY},
    {"latency", required_argument, NULL, OPTION_LATENCY},
    {"processing", required_argument, NULL, OPTION_PROCESSING},
    {"video-bytes", required_argument, NULL, OPTION_VIDEO_BYTES},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"gone", required_argument, NULL, OPTION_GONE},
    {"delivery", required_argument, NULL, OPTION_DELIVERY},
    {"outputs-shape", required_argument, NULL, OPTION_OUTPUTS_SHAPE},
    {"public-base", required_argument, NULL, OPTION_PUBLIC_BASE},
    {"quota", required_argument, NULL, OPTION_QUOTA},
    {"quota-kind", required_argument, NULL, OPTION_QUOTA_KIND},
    {"quota-retry-info", no_argument, NULL, OPTION_QUOTA_RETRY_INFO},
    {"in-flight", required_argument, NULL, OPTION_IN_FLIGHT},
    {"service-account", required_argument, NULL, OPTION_SERVICE_ACCOUNT},
    {"token", required_argument, NULL, OPTION_TOKEN},
    {"token-seconds", required_argument, NULL, OPTION_TOKEN_SECONDS},
    {"videos-status", required_argument, NULL, OPTION_VIDEOS_STATUS},
    {"seed-route", no_argument, NULL, OPTION_SEED_ROUTE},
    {"die-with-parent", no_argument, NULL, OPTION_DIE_WITH_PARENT},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "veosim: a simulator of Google's video API, for tests and for trying veod out.\n"
    "It makes no video: it serves one of two built-in ones. It listens on loopback only.\n"
    "\n"
    "usage: veosim [OPTION]…\n"
    "  --port N              0 (the default): any that is free\n"
    "  --port-file FILE      written, with the port, once it listens\n"
    "  --foreign-port N      another origin, for media without a key; 0: any that is free\n"
    "  --listen ADDRESS      in 127.0.0.0/8; 127.0.0.1\n"
    "  --key KEY             refuse all other keys\n"
    "  --latency A[-B]       how long operations run; 2s-5s\n"
    "  --processing TIME     how long a file is PROCESSING (interactions); 250ms\n"
    "  --video-bytes SIZE    pad each video to this size\n"
    "  --seed N              of all that is random\n"
    "  --gone GLOB           models that are shut down; @(A|B) takes several\n"
    "  --delivery uri|inline whatever a request asks for (interactions)\n"
    "  --outputs-shape old   outputs[] in place of steps[] (interactions)\n"
    "  --public-base URL     what a result's uri begins with\n"
    "  --quota N/TIME        submissions that a model takes (60/1m); the next one gets a 429\n"
    "  --quota-kind window   TIME begins with a submission, and again after its end; or bucket:\n"
    "                        N at once, refilled at N a TIME\n"
    "  --quota-retry-info    the 429 says how long it takes: RetryInfo, or Retry-After\n"
    "  --in-flight N         operations that may run at once; the next submission gets a 429\n"
    "  --service-account PEM its public key or certificate, which POST /token asks for\n"
    "  --token-seconds N     how long access tokens are valid; 3600\n"
    "  --token TOKEN         an access token that is always valid\n"
    "  --videos-status old   failed and filtered jobs are called completed (videos)\n"
    "  --seed-route          also take /models/M:predictLongRunning, in snake case\n"
    "  --die-with-parent     end when the parent process does\n"
    "  --quiet               print nothing but errors\n"
    "  --help\n"
    "\n"
    "In a prompt, [sim: …] takes these, separated by commas or blanks:\n";

static const char help_middle[] =
    "\n"
    "In a chat it is the model as well. In a user's message, [model: […]] is an array of what it\n"
    "does, one step for each time that it is asked until the next user's message:\n";

static const char help_end[] =
    "\n"
    "Dialects: predict and interactions with x-goog-api-key; both on Vertex\n"
    "(/v1/projects/P/locations/L/…), Cloud Storage (/storage/v1/b/B/o/O) with an access token of\n"
    "POST /token or of the metadata server; /v1/videos with the key as a bearer token.\n"
    "Chats, for models gemini-* and scripted*: /v1beta/openai/chat/completions (Google's) and\n"
    "/v1/chat/completions (LiteLLM's) with the key as a bearer token; generateContent with\n"
    "x-goog-api-key.\n"
    "\n"
    "At run time: GET /__stats, GET /__operations?prompt=…&limit=…,\n"
    "GET /__chats?prompt=…&limit=… (the last so many), POST /__reset, POST /__revoke (all\n"
    "access tokens), and GET, POST, DELETE /__rules.\n"
    "A rule is {\"on\":…,\"do\":…} with, where they make sense, match skip times chance accept\n"
    "status shape message code reason quota quota_id retry_info retry_after seconds interval\n"
    "bytes after location type directive.\n"
    "  on: submit poll file download cancel token chat any\n"
    "  do: status reset-before reset-after stall slow truncate garbage empty huge wrong-type\n"
    "      no-name redirect content-type not-a-video no-range expired directive\n"
    "  shape (of status): google interactions openai oauth array html empty\n"
    "  quota (of a 429): minute day spend\n";

static int read_port(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    *ret = (uint16_t)port;
    return end == text || *end || port > UINT16_MAX ? -1 : 0;
}

static int read_number(const char *text, uint64_t *ret)
{
    char *end;
    *ret = strtoull(text, &end, 10);
    return end == text || *end ? -1 : 0;
}

static int read_latency(const char *text, struct options *options)
{
    char low[32];
    const char *dash = strchr(text, '-');
    size_t length = dash ? (size_t)(dash - text) : strlen(text);
    if (length >= sizeof(low)) {
        return -1;
    }
    memcpy(low, text, length);
    low[length] = '\0';
    if (units_parse_duration(low, &options->latency_min_ms) < 0 ||
        units_parse_duration(dash ? dash + 1 : low, &options->latency_max_ms) < 0) {
        return -1;
    }
    return options->latency_min_ms <= options->latency_max_ms ? 0 : -1;
}

static int read_delivery(const char *text, enum delivery *ret)
{
    *ret = strcmp(text, "uri") == 0 ? DELIVERY_URI : DELIVERY_INLINE;
    return *ret == DELIVERY_URI || strcmp(text, "inline") == 0 ? 0 : -1;
}

static int read_loopback(const char *text, const char **ret)
{
    struct in_addr address;
    *ret = text;
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127 ? 0 : -1;
}

static int read_text(const char *text, const char **ret)
{
    *ret = text;
    return 0;
}

static int read_old(const char *text, bool *ret)
{
    *ret = strcmp(text, "old") == 0;
    return *ret || strcmp(text, "new") == 0 ? 0 : -1;
}

static int read_quota_kind(const char *text, bool *ret_bucket)
{
    *ret_bucket = strcmp(text, "bucket") == 0;
    return *ret_bucket || strcmp(text, "window") == 0 ? 0 : -1;
}

static int read_more(struct options *options, int code, const char *value)
{
    switch (code) {
    case OPTION_QUOTA:
        return quota_parse(value, &options->quota, &options->quota_window_ms);
    case OPTION_QUOTA_KIND:
        return read_quota_kind(value, &options->quota_bucket);
    case OPTION_IN_FLIGHT:
        return read_number(value, &options->in_flight);
    case OPTION_SERVICE_ACCOUNT:
        return read_text(value, &options->service_account);
    case OPTION_TOKEN:
        return read_text(value, &options->token);
    case OPTION_TOKEN_SECONDS:
        return read_number(value, &options->token_seconds);
    default:
        return -1;
    }
}

static int read_flag(struct options *options, int code)
{
    bool *flag = code == OPTION_QUOTA_RETRY_INFO  ? &options->quota_retry_info
                 : code == OPTION_SEED_ROUTE      ? &options->seed_route
                 : code == OPTION_DIE_WITH_PARENT ? &options->die_with_parent
                                                  : &options->quiet;
    *flag = true;
    return 0;
}

static int read_option(struct options *options, int code, const char *value)
{
    switch (code) {
    case OPTION_PORT:
        return read_port(value, &options->port);
    case OPTION_FOREIGN_PORT:
        options->has_foreign = true;
        return read_port(value, &options->foreign_port);
    case OPTION_LISTEN:
        return read_loopback(value, &options->address);
    case OPTION_LATENCY:
        return read_latency(value, options);
    case OPTION_PROCESSING:
        return units_parse_duration(value, &options->processing_ms);
    case OPTION_VIDEO_BYTES:
        return units_parse_size(value, &options->video_bytes);
    case OPTION_SEED:
        return read_number(value, &options->seed);
    case OPTION_DELIVERY:
        return read_delivery(value, &options->delivery);
    case OPTION_OUTPUTS_SHAPE:
        return read_old(value, &options->old_outputs);
    case OPTION_VIDEOS_STATUS:
        return read_old(value, &options->old_videos);
    case OPTION_PORT_FILE:
        return read_text(value, &options->port_file);
    case OPTION_KEY:
        return read_text(value, &options->key);
    case OPTION_GONE:
        return read_text(value, &options->gone);
    case OPTION_PUBLIC_BASE:
        return read_text(value, &options->public_base);
    default:
        return value ? read_more(options, code, value) : read_flag(options, code);
    }
}

static const char *option_name(int code)
{
    const struct option *option = long_options;
    while (option->val != code) {
        option++;
    }
    return option->name;
}

int options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .address = "127.0.0.1",
        .latency_min_ms = 2000,
        .latency_max_ms = 5000,
        .processing_ms = 250,
        .token_seconds = 3600,
        .seed = (uint64_t)unix_now_ms(),
    };
    for (int code; (code = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (code == '?') {
            return 2;
        }
        if (code == OPTION_HELP) {
            printf("%s%s%s%s%s", help, directives_help, help_middle, chat_help, help_end);
            return 0;
        }
        if (read_option(options, code, optarg) < 0) {
            fprintf(stderr, "veosim: --%s: bad value \"%s\"%s\n", option_name(code), optarg,
                    code == OPTION_LISTEN ? ": it listens on loopback only" : "");
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "veosim: \"%s\" is not understood\n", argv[optind]);
        return 2;
    }
    return -1;
}
