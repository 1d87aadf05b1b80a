#include "proto/ctl/words.h"

#include <stdio.h>
#include <string.h>

static void read_input(struct buf *text)
{
    for (int c; !text->failed && (c = getchar()) != EOF;)
        buf_add_byte(text, (char)c);
    while (text->length > 0 && strchr("\r\n", text->data[text->length - 1]))
        text->length--;
}

void words_join(struct buf *text, char **words, size_t count)
{
    if (count == 1 && strcmp(words[0], "-") == 0) {
        read_input(text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_byte(text, ' ');
        buf_add_text(text, words[i]);
    }
}
