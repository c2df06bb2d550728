/*
 * Has a process fork at SIGUSR1, for LD_PRELOAD. The child lives on, does nothing, and says its pid in a file:
 *
 *   PEERKIT_TEST_CHILD=FILE   where
 *   PEERKIT_TEST_RAW=1        it is made by a bare clone, of which libc knows nothing
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHILD_LIFE_S 120

static void tell(void)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", syscall(SYS_getpid));
    int file = open(getenv("PEERKIT_TEST_CHILD"), O_WRONLY | O_CREAT, 0600);

    if (file < 0 || write(file, text, (size_t)length) != length)
        _exit(1);
    close(file);
}

static void on_signal(int signal)
{
    int before = errno;
    long child;

    (void)signal;
    child = getenv("PEERKIT_TEST_RAW") != NULL ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : (long)fork();
    if (child == 0) {
        /* The pipes of the test: at their end it notices that the process is gone. */
        close(0);
        close(1);
        close(2);
        alarm(CHILD_LIFE_S);
        tell();
        for (;;)
            pause();
    }
    errno = before;
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &action, NULL);
}
