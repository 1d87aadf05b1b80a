/* Arbitrary bytes as the videos dialect's answers. */
#include "tests/fuzz/fuzz_dialect.h"

/* One more segment. */
static void check_poll(const char *url)
{
    const char *id = url + strlen("http://h/v1/videos/");
    require(*id && !strpbrk(id, "/?#\\ ") && strcmp(id, "..") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_dialect(&dialect_videos, "video_x", check_poll, data, size);
    return 0;
}
