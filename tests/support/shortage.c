/*
 * A pthread_create that now and then has no thread to give, for LD_PRELOAD:
 *
 *   PEERKIT_TEST_SHORTAGE=FILE   while the file is there, no thread is given
 *   PEERKIT_TEST_ASKED_BY=NAME   ... to threads of this name alone; to all but the main thread for "others"
 *   PEERKIT_TEST_NTH=N           the N-th thread isn't given, all others are
 *   PEERKIT_TEST_SPARE_MAIN=1    of those that the main thread asks for only the first counts
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static atomic_int asked;

static int is_spared(void)
{
    return getenv("PEERKIT_TEST_SPARE_MAIN") != NULL && gettid() == getpid() && atomic_load(&asked) > 0;
}

static int is_refused(void)
{
    const char *file = getenv("PEERKIT_TEST_SHORTAGE"), *by = getenv("PEERKIT_TEST_ASKED_BY"), *nth = getenv("PEERKIT_TEST_NTH");
    char name[16] = "";

    if (nth != NULL && !is_spared() && atomic_fetch_add(&asked, 1) + 1 == atoi(nth))
        return 1;
    if (file == NULL || access(file, F_OK) != 0)
        return 0;
    if (by == NULL)
        return 1;
    if (strcmp(by, "others") == 0)
        return gettid() != getpid();
    prctl(PR_GET_NAME, name);
    return strcmp(by, name) == 0;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    create *real = (create *)dlsym(RTLD_NEXT, "pthread_create");

    return is_refused() ? EAGAIN : real(thread, attributes, body, argument);
}
