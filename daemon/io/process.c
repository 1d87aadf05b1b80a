#include "daemon/io/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* proc(5): the 22nd word of stat, in ticks since the boot; the second may have blanks in it. */
double process_started_at(void)
{
    char text[1024];
    struct timespec now, since_boot;
    unsigned long long ticks;
    FILE *file = fopen("/proc/self/stat", "re");
    size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    const char *rest = strrchr(text, ')');
    for (int word = 2; rest && word < 22; word++)
        rest = strchr(rest + 1, ' ');
    if (!rest || sscanf(rest, "%llu", &ticks) != 1)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    double booted_at =
        (double)(now.tv_sec - since_boot.tv_sec) + (double)(now.tv_nsec - since_boot.tv_nsec) / 1e9;
    return booted_at + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void look_at_memory(struct process *ret)
{
    unsigned long long pages, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%llu %llu", &pages, &resident) == 2) {
        ret->virtual_bytes = (int64_t)pages * sysconf(_SC_PAGESIZE);
        ret->resident_bytes = (int64_t)resident * sysconf(_SC_PAGESIZE);
    }
    if (file)
        fclose(file);
}

static int64_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = 0;
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* the folder's own */
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

void process_look(struct process *ret)
{
    struct rusage usage;
    struct rlimit limit;
    *ret = (struct process){
        .cpu_seconds = -1, .resident_bytes = -1, .virtual_bytes = -1, .max_descriptors = -1};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret->cpu_seconds = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        ret->max_descriptors = (int64_t)limit.rlim_cur;
    look_at_memory(ret);
    ret->open_descriptors = count_descriptors();
}
