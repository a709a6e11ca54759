/*
 * The service: what answers to other processes of the user, and waits for the ends of processes
 * (process.h).
 *
 * One thread, one epoll instance. A connection carries one request and its reply; it has a slot and
 * a deadline, so whoever connects and then says nothing, or never reads, costs a slot for some
 * seconds. When all slots are taken the others wait in the backlog, and there is less patience.
 * Handlers run one at a time.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/duplicate.h"
#include "loader/ob/process_object.h"
#include "loader/ob/service_object.h"
#include "loader/ob/wire.h"

enum {
    SLOTS = 64,
    BACKLOG = 128,
    EVENTS = 16,
    REQUEST_MILLISECONDS = 5000,
    REPLY_MILLISECONDS = 10000,
    CROWDED_REQUEST_MILLISECONDS = 1000, /* while others wait for a slot */
    CROWDED_REPLY_MILLISECONDS = 3000,
    PAUSE_MILLISECONDS = 50, /* when no descriptor is left for a connection */
    FORK_PATIENCE = 1,       /* seconds that fork(2) waits for a handler */
    STACK_SIZE = 512 << 10,
};
struct connection {
    int fd; /* -1: the slot is free */
    bool replying;
    uint64_t number; /* of its events: slot and generation */
    int64_t since;   /* when the request began, or the reply */
    struct ob_message request, reply;
    struct ob_transfer transfer;
};

static struct {
    pthread_mutex_t lock; /* starting */
    pthread_mutex_t busy; /* while a handler or a watch's function runs */
    bool busy_for_fork;
    bool running;
    int listener, epoll;
    int64_t paused_until; /* 0: connections are accepted */
    uint32_t open;        /* connections */
    uint64_t generation;
    struct connection connections[SLOTS];
} service = {.lock = PTHREAD_MUTEX_INITIALIZER,
             .busy = PTHREAD_MUTEX_INITIALIZER,
             .listener = -1,
             .epoll = -1};

static __thread bool is_service_thread;

static ob_service_handler handlers[OB_REQUEST_COUNT] = {
    [OB_REQUEST_PROCESS] = ob_answer_process,
    [OB_REQUEST_DUPLICATE_IN] = ob_answer_duplicate_in,
    [OB_REQUEST_DUPLICATE_OUT] = ob_answer_duplicate_out,
    [OB_REQUEST_CLOSE] = ob_answer_close,
};

void ob_service_register(enum ob_request request, ob_service_handler handler)
{
    if (request > 0 && request < OB_REQUEST_COUNT)
        __atomic_store_n(&handlers[request], handler, __ATOMIC_RELEASE);
}

bool ob_service_is_this_thread(void)
{
    return is_service_thread;
}

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- connections --------------------------------------------------------------------------------
 */

static void listen_to(bool accepting)
{
    struct epoll_event event = {.events = accepting ? EPOLLIN : 0,
                                .data.u64 = OB_EVENT(OB_EVENT_LISTEN, 0)};
    epoll_ctl(service.epoll, EPOLL_CTL_MOD, service.listener, &event);
}

static void close_connection(struct connection *connection)
{
    int fd = connection->fd;
    epoll_ctl(service.epoll, EPOLL_CTL_DEL, fd, NULL);
    connection->fd = -1; /* first: a forked child closes what it finds here */
    close(fd);
    ob_message_release(&connection->request);
    ob_message_release(&connection->reply);
    if (service.open-- == SLOTS)
        listen_to(true);
}

static bool wait_for(const struct connection *connection, int command, uint32_t events)
{
    struct epoll_event event = {.events = events,
                                .data.u64 = OB_EVENT(OB_EVENT_CONNECTION, connection->number)};
    return epoll_ctl(service.epoll, command, connection->fd, &event) == 0;
}

static void open_connection(int fd)
{
    uint32_t slot = 0;
    while (slot < SLOTS && service.connections[slot].fd >= 0)
        slot++;
    if (slot == SLOTS || ob_service_peer(fd) == 0) { /* another user's */
        close(fd);
        return;
    }
    struct connection *connection = &service.connections[slot];
    *connection = (struct connection){
        .fd = fd, .number = ++service.generation * SLOTS + slot, .since = now_milliseconds()};
    ob_wire_start_receive(&connection->transfer, &connection->request, OB_WIRE_MAX_REQUEST);
    if (++service.open == SLOTS)
        listen_to(false);
    if (!wait_for(connection, EPOLL_CTL_ADD, EPOLLIN))
        close_connection(connection);
}

static void accept_connections(void)
{
    while (service.open < SLOTS) {
        int fd = accept4(service.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            open_connection(fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            service.paused_until = now_milliseconds() + PAUSE_MILLISECONDS;
            listen_to(false);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* Who gave up waiting, or died, gets nothing done any more. */
static bool peer_has_gone(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void answer(struct connection *connection)
{
    struct ob_message *request = &connection->request, *reply = &connection->reply;
    ob_service_handler handler = NULL;
    if (request->request < OB_REQUEST_COUNT)
        handler = __atomic_load_n(&handlers[request->request], __ATOMIC_ACQUIRE);
    if (handler) {
        pthread_mutex_lock(&service.busy);
        handler(request, reply);
        pthread_mutex_unlock(&service.busy);
    } else {
        reply->status = (nt_status)STATUS_NOT_IMPLEMENTED;
    }
    if (reply->size > OB_WIRE_MAX_REPLY) {
        ob_message_release(reply);
        reply->status = (nt_status)STATUS_INSUFFICIENT_RESOURCES;
    }
    reply->request = request->request;
    ob_message_release(request);
    connection->replying = true;
    connection->since = now_milliseconds();
    ob_wire_start_send(&connection->transfer, reply);
}

static void serve(uint64_t number)
{
    struct connection *connection = &service.connections[number % SLOTS];
    enum ob_wire_step step;
    if (connection->fd < 0 || connection->number != number)
        return;
    if (!connection->replying) {
        step = ob_wire_receive(connection->fd, &connection->transfer);
        if (step == OB_WIRE_AGAIN)
            return;
        if (step == OB_WIRE_BROKEN || peer_has_gone(connection->fd)) {
            close_connection(connection);
            return;
        }
        answer(connection);
    }
    step = ob_wire_send(connection->fd, &connection->transfer);
    if (step != OB_WIRE_AGAIN || !wait_for(connection, EPOLL_CTL_MOD, EPOLLOUT))
        close_connection(connection);
}

/* ---- the thread ---------------------------------------------------------------------------------
 */

static int64_t deadline_of(const struct connection *connection)
{
    bool crowded = service.open == SLOTS;
    if (connection->replying)
        return connection->since + (crowded ? CROWDED_REPLY_MILLISECONDS : REPLY_MILLISECONDS);
    return connection->since + (crowded ? CROWDED_REQUEST_MILLISECONDS : REQUEST_MILLISECONDS);
}

/* Ends what took too long; returns how long epoll may wait for the next of these, -1 = for ever. */
static int keep_time(void)
{
    int64_t now = now_milliseconds(), next = INT64_MAX;
    for (uint32_t slot = 0; service.open && slot < SLOTS; slot++) {
        struct connection *connection = &service.connections[slot];
        if (connection->fd < 0)
            continue;
        int64_t deadline = deadline_of(connection);
        if (deadline <= now)
            close_connection(connection);
        else if (deadline < next)
            next = deadline;
    }
    if (service.paused_until && service.paused_until <= now) {
        service.paused_until = 0;
        listen_to(service.open < SLOTS);
    } else if (service.paused_until && service.paused_until < next) {
        next = service.paused_until;
    }
    return next == INT64_MAX ? -1 : (int)(next - now);
}

static void handle(uint64_t event)
{
    switch (OB_EVENT_KIND(event)) {
    case OB_EVENT_LISTEN:
        accept_connections();
        break;
    case OB_EVENT_CONNECTION:
        serve(OB_EVENT_NUMBER(event));
        break;
    case OB_EVENT_WATCH:
        pthread_mutex_lock(&service.busy);
        ob_watches_fire(OB_EVENT_NUMBER(event));
        pthread_mutex_unlock(&service.busy);
        break;
    }
}

static void *run(void *unused)
{
    struct epoll_event events[EVENTS];
    is_service_thread = true;
    pthread_setname_np(pthread_self(), "peldr-service");
    for (;;) {
        int count = epoll_wait(service.epoll, events, EVENTS, keep_time());
        for (int i = 0; i < count; i++)
            handle(events[i].data.u64);
    }
    return NULL;
}

/* ---- starting -----------------------------------------------------------------------------------
 */

static int listen_as(uint32_t id)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    for (int attempt = 0; fd >= 0 && attempt < OB_SERVICE_NAMES; attempt++) {
        socklen_t length = ob_service_address(id, attempt, &address);
        if (bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, BACKLOG) == 0)
            return fd;
        if (errno != EADDRINUSE)
            break;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

/* No signal of the host is delivered to the thread: its handlers may be an image's. */
static int start_thread(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static void close_sockets(void)
{
    if (service.listener >= 0)
        close(service.listener);
    if (service.epoll >= 0)
        close(service.epoll);
    service.listener = service.epoll = -1;
}

static nt_status cannot_answer(int error, struct pe_error *err)
{
    return pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "cannot answer to other processes: %s",
                   strerror(error));
}

/* Lock held. */
static nt_status listen_locked(struct pe_error *err)
{
    if (service.listener < 0)
        service.listener = listen_as((uint32_t)getpid());
    return service.listener >= 0 ? STATUS_SUCCESS : cannot_answer(errno, err);
}

static int open_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = OB_EVENT(OB_EVENT_LISTEN, 0)};
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        service.connections[slot].fd = -1;
    service.open = 0;
    service.paused_until = 0;
    service.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (service.epoll < 0 || epoll_ctl(service.epoll, EPOLL_CTL_ADD, service.listener, &event) != 0)
        return errno;
    ob_watches_arm(service.epoll);
    return 0;
}

/* Lock held. */
static nt_status run_locked(struct pe_error *err)
{
    int record_fd, error;
    nt_status status = ob_process_record_own(&record_fd, err);
    if (!nt_ok(status))
        return status;
    error = open_epoll();
    if (error == 0)
        error = start_thread();
    if (error == 0) {
        __atomic_store_n(&service.running, true, __ATOMIC_RELEASE);
        return STATUS_SUCCESS;
    }
    ob_watches_arm(-1);
    close_sockets();
    return cannot_answer(error, err);
}

nt_status ob_service_listen(struct pe_error *err)
{
    ob_process_watch_fork();
    pthread_mutex_lock(&service.lock);
    nt_status status = listen_locked(err);
    pthread_mutex_unlock(&service.lock);
    return status;
}

nt_status ob_service_start(struct pe_error *err)
{
    if (__atomic_load_n(&service.running, __ATOMIC_ACQUIRE))
        return STATUS_SUCCESS;
    ob_process_watch_fork();
    pthread_mutex_lock(&service.lock);
    nt_status status = service.running ? STATUS_SUCCESS : listen_locked(err);
    if (nt_ok(status) && !service.running)
        status = run_locked(err);
    pthread_mutex_unlock(&service.lock);
    return status;
}

/* ---- fork ---------------------------------------------------------------------------------------
 */

/* A handler that is at work may hold locks of other rooms. One that does not finish, because the
 * forking thread holds what it waits for, is not waited for. */
void ob_service_before_fork(void)
{
    struct timespec until;
    pthread_mutex_lock(&service.lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FORK_PATIENCE;
    service.busy_for_fork =
        !is_service_thread && pthread_mutex_clocklock(&service.busy, CLOCK_MONOTONIC, &until) == 0;
}

void ob_service_after_fork(bool child)
{
    if (service.busy_for_fork)
        pthread_mutex_unlock(&service.busy);
    if (child) {
        service.busy = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        for (uint32_t slot = 0; service.running && slot < SLOTS; slot++) {
            struct connection *connection = &service.connections[slot];
            if (connection->fd >= 0)
                close(connection->fd);
            connection->fd = -1;
        }
        close_sockets();
        service.running = false;
        is_service_thread = false;
    }
    pthread_mutex_unlock(&service.lock);
}
