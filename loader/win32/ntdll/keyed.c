/*
 * Keyed events: a meeting of two threads at a key, which is usually an address. The one who comes
 * first, to wait or to release, sleeps until the other comes. One list serves all of them, because
 * handles only tell apart processes that do not share keys.
 */
#include <pthread.h>

#include "loader/ke/futex.h"
#include "loader/ob/object.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/waitable.h"

enum { STATUS_INVALID_PARAMETER_1 = (int)0xC00000EF };

static const struct ob_type keyed_type = {.name = "KeyedEvent"};

struct guest {
    struct guest *next;
    struct ob_object *event;
    uintptr_t key;
    bool releases;
    uint32_t met; /* futex word */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct guest *guests; /* in the order of their coming */

/* Takes out the first guest that `pick` is met by, or `pick` itself. Locked. */
static struct guest *remove_guest(const struct guest *pick, bool itself)
{
    for (struct guest **link = &guests; *link; link = &(*link)->next) {
        struct guest *at = *link;
        if (itself ? at != pick
                   : at->event != pick->event || at->key != pick->key ||
                         at->releases == pick->releases)
            continue;
        *link = at->next;
        return at;
    }
    return NULL;
}

static void append(struct guest *guest)
{
    struct guest **link = &guests;
    while (*link)
        link = &(*link)->next;
    *link = guest;
}

static nt_status meet(struct guest *self, const struct ke_deadline *deadline)
{
    pthread_mutex_lock(&mutex);
    struct guest *other = remove_guest(self, false);
    if (other) {
        uint32_t *word = &other->met; /* the other may be gone once it is set: waking is harmless */
        __atomic_store_n(word, 1, __ATOMIC_RELEASE);
        ke_futex_wake(word, 1, KE_FUTEX_ANYONE);
    } else {
        append(self);
    }
    pthread_mutex_unlock(&mutex);
    if (other)
        return STATUS_SUCCESS;
    while (!__atomic_load_n(&self->met, __ATOMIC_ACQUIRE)) {
        if (ke_futex_wait(&self->met, 0, KE_FUTEX_ANYONE, deadline))
            continue;
        pthread_mutex_lock(&mutex);
        bool late = remove_guest(self, true) != NULL;
        pthread_mutex_unlock(&mutex);
        return late ? STATUS_TIMEOUT : STATUS_SUCCESS;
    }
    return STATUS_SUCCESS;
}

/* `handle` NULL = the event that every process has. */
static nt_status come(HANDLE handle, const void *key, bool releases, const int64_t *timeout)
{
    struct ob_object *event = NULL;
    struct ke_deadline storage;
    if ((uintptr_t)key & 1)
        return (nt_status)STATUS_INVALID_PARAMETER_1;
    nt_status status =
        handle ? win32_typed(handle, &keyed_type, releases ? 2 : 1, &event) : STATUS_SUCCESS;
    if (!nt_ok(status))
        return status;
    struct guest self = {.event = event, .key = (uintptr_t)key, .releases = releases};
    status = meet(&self, ke_deadline_after(win32_timeout(timeout), &storage));
    if (event)
        ob_object_unref(event);
    return status;
}

static nt_status WINAPI_DEF nt_NtWaitForKeyedEvent(HANDLE event, const void *key, BOOLEAN alertable,
                                                   const int64_t *timeout)
{
    return come(event, key, false, timeout);
}

static nt_status WINAPI_DEF nt_NtReleaseKeyedEvent(HANDLE event, const void *key, BOOLEAN alertable,
                                                   const int64_t *timeout)
{
    return come(event, key, true, timeout);
}

static nt_status WINAPI_DEF nt_NtCreateKeyedEvent(HANDLE *out, ULONG access, const void *attributes,
                                                  ULONG flags)
{
    if (flags)
        return STATUS_INVALID_PARAMETER;
    struct ob_object *event = ob_object_create(&keyed_type, sizeof(*event));
    if (!event)
        return STATUS_NO_MEMORY;
    uint32_t handle = ob_handle_create(event, access, 0);
    ob_object_unref(event);
    *out = win32_handle(handle);
    return handle ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

const struct ldr_builtin_export ntdll_keyed_exports[] = {
    NT_ZW(CreateKeyedEvent),
    NT_ZW(WaitForKeyedEvent),
    NT_ZW(ReleaseKeyedEvent),
};
const size_t ntdll_keyed_count = sizeof(ntdll_keyed_exports) / sizeof(*ntdll_keyed_exports);
