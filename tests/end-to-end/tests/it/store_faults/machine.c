// A machine that plays tricks on one process: its clock is set, its disk is full or broken. Loaded into the process before the C library.
// The file that SIGNOFF_TEST_MACHINE names says what is wrong at this moment: "<seconds that the clock is off> <errno of writes to the store, or 0>".

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void now(long *off, long *broken) {
    char text[64] = {0};
    int before = errno;
    const char *path = getenv("SIGNOFF_TEST_MACHINE");
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    *off = *broken = 0;
    if (file >= 0) {
        if (syscall(SYS_read, file, text, sizeof text - 1) > 0) sscanf(text, "%ld %ld", off, broken);
        syscall(SYS_close, file);
    }
    errno = before;
}

// Whether writing to this file fails just now. If so, errno says why.
static int fails(int file) {
    long off, broken;
    now(&off, &broken);
    if (!broken) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    // What SQLite shares between connections lies in memory.
    if (!strstr(path, "/store.db") || strstr(path, "-shm")) return 0;
    errno = (int)broken;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count) {
    return fails(file) ? -1 : syscall(SYS_write, file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return fails(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    return fails(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, at);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long off, broken;
        now(&off, &broken);
        time->tv_sec += off;
    }
    return failed;
}

int gettimeofday(struct timeval *time, void *zone) {
    (void)zone;
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    time->tv_sec = exact.tv_sec;
    time->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (into) *into = exact.tv_sec;
    return exact.tv_sec;
}
