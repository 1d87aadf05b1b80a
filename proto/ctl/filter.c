#include "proto/ctl/filter.h"

#include <pwd.h>
#include <string.h>

#include "proto/limits.h"

void filter_init(struct filter *filter)
{
    buf_init(&filter->members, LIMIT_LINE / 2);
    jsonw_init(&filter->w, &filter->members);
}

void filter_free(struct filter *filter)
{
    buf_free(&filter->members);
}

static void take_states(struct filter *filter, const char *list)
{
    jsonw_name(&filter->w, "state");
    jsonw_array(&filter->w);
    while (*list) {
        size_t length = strcspn(list, ",");
        if (length > 0)
            jsonw_string_n(&filter->w, list, length);
        list += length + (list[length] == ',');
    }
    jsonw_array_end(&filter->w);
}

static int take_owner(struct filter *filter, const struct args *args)
{
    int64_t uid;
    const struct passwd *user = getpwnam(args->value);
    if (user)
        uid = user->pw_uid;
    else if (args_int(args, "owner", 0, UINT32_MAX, &uid) < 0)
        return -1;
    jsonw_member_int(&filter->w, "owner", uid);
    return 0;
}

static int take_time(struct filter *filter, const struct args *args, const char *name)
{
    int64_t at;
    if (args_time(args, name, -1, &at) < 0)
        return -1;
    jsonw_member_time(&filter->w, name, at);
    return 0;
}

int filter_take(struct filter *filter, const struct args *args, enum option_id option)
{
    switch (option) {
    case OPTION_STATE:
        take_states(filter, args->value);
        return 0;
    case OPTION_MODEL:
        jsonw_member_string(&filter->w, "model", args->value);
        return 0;
    case OPTION_LABEL:
        jsonw_member_string(&filter->w, "label", args->value);
        return 0;
    case OPTION_OWNER:
        return take_owner(filter, args);
    case OPTION_SINCE:
        return take_time(filter, args, "since");
    case OPTION_UNTIL:
        return take_time(filter, args, "until");
    default:
        return -1;
    }
}

void filter_write(const struct filter *filter, struct jsonw *w)
{
    if (filter->members.length == 0)
        return;
    if (w->needs_comma)
        buf_add_byte(w->out, ',');
    buf_add(w->out, filter->members.data, filter->members.length);
    w->needs_comma = true;
}
