// A disk that fails: loaded before libc, it lets what is written to segments of an audit log fail as the file says that the
// variable BROKEN_DISK names: `write N` or `sync N`, with the errno N. While that file is not there, all is well.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fault(int fd, const char *what) {
    char link[64], path[4096], said[64] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, ".jsonl") || !getenv("BROKEN_DISK")) return 0;
    int file = open(getenv("BROKEN_DISK"), O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got = read(file, said, sizeof said - 1);
    close(file);
    size_t word = strlen(what);
    return got > 0 && !strncmp(said, what, word) ? atoi(said + word) : 0;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    int error = fault(fd, "write ");
    if (error) { errno = error; return -1; }
    return real(fd, bytes, count);
}

static int sync_with(int fd, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int error = fault(fd, "sync ");
    if (error) { errno = error; return -1; }
    return real(fd);
}

int fdatasync(int fd) { return sync_with(fd, "fdatasync"); }
int fsync(int fd) { return sync_with(fd, "fsync"); }
