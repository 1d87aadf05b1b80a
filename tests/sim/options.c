#include "tests/sim/options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/units.h"

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
    "  --gone GLOB           models that are shut down\n"
    "  --delivery uri|inline whatever a request asks for (interactions)\n"
    "  --outputs-shape old   outputs[] in place of steps[] (interactions)\n"
    "  --public-base URL     what a result's uri begins with\n"
    "  --die-with-parent     end when the parent process does\n"
    "  --quiet               print nothing but errors\n"
    "  --help\n"
    "\n"
    "In a prompt, [sim: …] takes these, separated by commas or blanks:\n";

static const char help_end[] =
    "\n"
    "At run time: GET /__stats, GET /__operations?prompt=…&limit=…, POST /__reset, and\n"
    "GET, POST, DELETE /__rules. A rule is {\"on\":…,\"do\":…} with, where they make sense,\n"
    "match skip times chance accept status shape message code quota_id retry_info retry_after\n"
    "seconds interval bytes after location type directive.\n"
    "  on: submit poll file download cancel any\n"
    "  do: status reset-before reset-after stall slow truncate garbage empty huge wrong-type\n"
    "      no-name redirect content-type not-a-video no-range expired directive\n"
    "  shape (of status): google interactions openai array html empty\n";

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

static int read_outputs_shape(const char *text, bool *ret)
{
    *ret = strcmp(text, "old") == 0;
    return *ret || strcmp(text, "new") == 0 ? 0 : -1;
}

static int read_text(const char *text, const char **ret)
{
    *ret = text;
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
        return read_outputs_shape(value, &options->old_outputs);
    case OPTION_PORT_FILE:
        return read_text(value, &options->port_file);
    case OPTION_KEY:
        return read_text(value, &options->key);
    case OPTION_GONE:
        return read_text(value, &options->gone);
    case OPTION_PUBLIC_BASE:
        return read_text(value, &options->public_base);
    case OPTION_DIE_WITH_PARENT:
        options->die_with_parent = true;
        return 0;
    default:
        options->quiet = true;
        return 0;
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
        .seed = (uint64_t)unix_now_ms(),
    };
    for (int code; (code = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (code == '?') {
            return 2;
        }
        if (code == OPTION_HELP) {
            printf("%s%s%s", help, directives_help, help_end);
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
