/*
 * Ends of processes, told by the service thread (process.h, ob_watch).
 *
 * A watch is one pidfd in the service's epoll instance, by number, so that an event that was
 * fetched before the watch went leads to nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loader/ob/process.h"
#include "loader/ob/service_object.h"
#include "loader/ob/wire.h"

struct ob_watch {
    struct ob_watch *next, **link;
    uint64_t number;
    int pidfd; /* -1: it was told */
    void (*ended)(void *user);
    void *user;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t told;
    struct ob_watch *first;
    const struct ob_watch *telling; /* a call that is under way */
    uint64_t last_number;
    int epoll; /* -1: no service */
} watches = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER, .epoll = -1};

/* Lock held. */
static bool arm(const struct ob_watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = OB_EVENT(OB_EVENT_WATCH, watch->number)};
    return epoll_ctl(watches.epoll, EPOLL_CTL_ADD, watch->pidfd, &event) == 0;
}

/* Lock held. Taken out by hand: a forked child may have the description, too. */
static void disarm(struct ob_watch *watch)
{
    if (watch->pidfd < 0)
        return;
    if (watches.epoll >= 0)
        epoll_ctl(watches.epoll, EPOLL_CTL_DEL, watch->pidfd, NULL);
    close(watch->pidfd);
    watch->pidfd = -1;
}

static void link_watch(struct ob_watch *watch)
{
    watch->number = ++watches.last_number;
    watch->next = watches.first;
    watch->link = &watches.first;
    if (watch->next)
        watch->next->link = &watch->next;
    watches.first = watch;
}

static void unlink_watch(struct ob_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
}

nt_status ob_watch(int pidfd, void (*ended)(void *user), void *user, struct ob_watch **out,
                   struct pe_error *err)
{
    nt_status status = ob_service_start(err);
    if (!nt_ok(status))
        return status;
    struct ob_watch *watch = malloc(sizeof *watch);
    if (!watch)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory to wait for a process");
    *watch = (struct ob_watch){.ended = ended, .user = user};
    watch->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
    pthread_mutex_lock(&watches.lock);
    link_watch(watch);
    *out = watch; /* before it can be told */
    if (watch->pidfd < 0 || !arm(watch))
        status = pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "cannot wait for a process: %s",
                         strerror(errno));
    if (!nt_ok(status)) {
        unlink_watch(watch);
        disarm(watch);
    }
    pthread_mutex_unlock(&watches.lock);
    if (nt_ok(status))
        return status;
    free(watch);
    *out = NULL;
    return status;
}

void ob_unwatch(struct ob_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watches.lock);
    while (watches.telling == watch && !ob_service_is_this_thread())
        pthread_cond_wait(&watches.told, &watches.lock);
    unlink_watch(watch);
    disarm(watch);
    pthread_mutex_unlock(&watches.lock);
    free(watch);
}

/* ---- the service's side -------------------------------------------------------------------------
 */

void ob_watches_arm(int epoll)
{
    pthread_mutex_lock(&watches.lock);
    watches.epoll = epoll;
    for (struct ob_watch *watch = watches.first; watch; watch = watch->next)
        if (watch->pidfd >= 0)
            arm(watch);
    pthread_mutex_unlock(&watches.lock);
}

void ob_watches_fire(uint64_t number)
{
    pthread_mutex_lock(&watches.lock);
    struct ob_watch *watch = watches.first;
    while (watch && watch->number != number)
        watch = watch->next;
    if (watch && watch->pidfd >= 0) {
        void (*ended)(void *user) = watch->ended;
        void *user = watch->user;
        disarm(watch);
        watches.telling = watch;
        pthread_mutex_unlock(&watches.lock);
        ended(user); /* may free the watch */
        pthread_mutex_lock(&watches.lock);
        watches.telling = NULL;
        pthread_cond_broadcast(&watches.told);
    }
    pthread_mutex_unlock(&watches.lock);
}

void ob_watches_before_fork(void)
{
    pthread_mutex_lock(&watches.lock);
}

/* The child's service, if it starts one, arms them again. */
void ob_watches_after_fork(bool child)
{
    if (child) {
        watches.epoll = -1;
        watches.telling = NULL;
        watches.told = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    }
    pthread_mutex_unlock(&watches.lock);
}
