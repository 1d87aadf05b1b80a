#include "tests/sim/directives.h"

#include <stdlib.h>
#include <string.h>

#include "proto/units.h"

#define OPENING   "[sim:"
#define SEPARATOR ", \t"

const char directives_help[] =
    "  latency=3s        how long the operation runs\n"
    "  filter[=HOW]      the safety filter takes it; HOW: empty, partial, a support code, or for\n"
    "                    interactions an error's code (safety, recitation, prohibited_content)\n"
    "  fail[=13]         ends with this error (a gRPC number, or a code of interactions)\n"
    "  fails=N           filter and fail hit only the first N with the same prompt\n"
    "  status=WORD       interactions: ends in this status\n"
    "  video=KIND        garbage, html, json, empty or cut in place of the video\n"
    "  bytes=5M          size of the video\n"
    "  delivery=uri      or inline, whatever was asked\n"
    "  foreign           the result's uri leads to the other origin\n"
    "  encoded           predict: the video is in the answer, not behind a uri\n"
    "  outputs           interactions: the older shape, outputs[] in place of steps[]\n"
    "  processing=2s     the file is PROCESSING that long; processing=fail: FAILED\n"
    "  gone              the file is no longer there\n"
    "  completed         videos: says so even if it failed or was filtered; its content is JSON\n"
    "  again             this prompt was sent before on purpose: no duplicate\n";

static int read_text(char *to, size_t size, const char *value)
{
    if (strlen(value) >= size) {
        return -1;
    }
    strcpy(to, value);
    return 0;
}

static int read_count(int64_t *to, const char *value)
{
    char *end;
    *to = strtoll(value, &end, 10);
    return end == value || *end || *to < 0 ? -1 : 0;
}

static int read_delivery(enum delivery *to, const char *value)
{
    *to = strcmp(value, "uri") == 0      ? DELIVERY_URI
          : strcmp(value, "inline") == 0 ? DELIVERY_INLINE
                                         : DELIVERY_ASKED;
    return *to == DELIVERY_ASKED ? -1 : 0;
}

static int read_processing(struct directives *directives, const char *value)
{
    directives->processing_fail = strcmp(value, "fail") == 0;
    return directives->processing_fail ? 0
                                       : units_parse_duration(value, &directives->processing_ms);
}

static int set_with_value(struct directives *d, const char *name, const char *value)
{
    if (strcmp(name, "latency") == 0) {
        return units_parse_duration(value, &d->latency_ms);
    }
    if (strcmp(name, "processing") == 0) {
        return read_processing(d, value);
    }
    if (strcmp(name, "bytes") == 0) {
        return units_parse_size(value, &d->bytes);
    }
    if (strcmp(name, "video") == 0) {
        return media_kind_from_name(value, &d->video) ? 0 : -1;
    }
    if (strcmp(name, "status") == 0) {
        return read_text(d->status, sizeof(d->status), value);
    }
    if (strcmp(name, "fails") == 0) {
        return read_count(&d->fails, value);
    }
    return strcmp(name, "delivery") == 0 ? read_delivery(&d->delivery, value) : -1;
}

static int set(struct directives *d, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"again", &d->again},     {"foreign", &d->foreign},     {"gone", &d->gone},
        {"encoded", &d->encoded}, {"outputs", &d->old_outputs}, {"completed", &d->completed},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].flag = true;
            return value ? -1 : 0;
        }
    }
    if (strcmp(name, "filter") == 0) {
        d->filter = true;
        return read_text(d->filter_how, sizeof(d->filter_how), value ? value : "");
    }
    if (strcmp(name, "fail") == 0) {
        d->fail = true;
        return read_text(d->fail_code, sizeof(d->fail_code), value ? value : "13");
    }
    return value ? set_with_value(d, name, value) : -1;
}

void directives_init(struct directives *directives)
{
    *directives = (struct directives){.latency_ms = -1, .processing_ms = -1, .fails = -1};
}

int directives_parse_list(struct directives *directives, const char *list, size_t length,
                          struct error *error)
{
    char text[256];
    if (length >= sizeof(text)) {
        return error_set(error, ERROR_INVALID_ARGUMENT, NULL, "veosim: the directive is too long");
    }
    memcpy(text, list, length);
    text[length] = '\0';
    char *rest = text;
    for (char *word; (word = strsep(&rest, SEPARATOR));) {
        char *value = strchr(word, '=');
        if (value) {
            *value++ = '\0';
        }
        if (*word && set(directives, word, value) < 0) {
            return error_set(error, ERROR_INVALID_ARGUMENT, NULL,
                             "veosim: unknown or bad directive \"%s%s%s\"", word, value ? "=" : "",
                             value ? value : "");
        }
    }
    return 0;
}

int directives_parse(struct directives *directives, const char *text, struct error *error)
{
    for (const char *at = text; (at = strstr(at, OPENING));) {
        at += strlen(OPENING);
        size_t length = strcspn(at, "]");
        if (directives_parse_list(directives, at, length, error) < 0) {
            return -1;
        }
        at += length;
    }
    return 0;
}
