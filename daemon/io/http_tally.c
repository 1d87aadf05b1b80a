#include "daemon/io/http_tally.h"

#include "daemon/io/http.h"

const char *http_class_name(enum http_class which)
{
    static const char *const names[HTTP_CLASS_COUNT] = {
#define X(name, text) [HTTP_CLASS_##name] = (text),
        HTTP_CLASSES(X)
#undef X
    };
    return names[which];
}

void http_tally_init(struct http_tally *tally)
{
    *tally = (struct http_tally){0};
    histogram_init(&tally->ms, &histogram_answers);
}

static enum http_class class_of(const struct http_reply *reply)
{
    static const enum http_class classes[] = {HTTP_CLASS_2XX, HTTP_CLASS_3XX, HTTP_CLASS_4XX,
                                              HTTP_CLASS_5XX};
    int hundreds = reply->status / 100;
    if (reply->end == HTTP_NOT_SENT)
        return HTTP_CLASS_UNSENT;
    if (reply->end == HTTP_NO_ANSWER || hundreds < 2 || hundreds > 5)
        return HTTP_CLASS_UNHEARD;
    return reply->status == 429 ? HTTP_CLASS_429 : classes[hundreds - 2];
}

void http_tally_add(struct http_tally *tally, const struct http_reply *reply, int64_t ms)
{
    enum http_class which = class_of(reply);
    tally->answers[which]++;
    if (which != HTTP_CLASS_UNSENT && which != HTTP_CLASS_UNHEARD)
        histogram_add(&tally->ms, ms);
}
