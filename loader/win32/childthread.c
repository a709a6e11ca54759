/*
 * The first thread of another process, behind PROCESS_INFORMATION.hThread (child.h).
 *
 * Its id is that of the process: peldr runs a program on the first thread of the host's process.
 */
#include "loader/ke/suspend.h"
#include "loader/ob/process.h"
#include "loader/win32/child.h"

struct child_thread {
    struct ob_object header;
    struct ob_object *process; /* a reference */
    uint32_t id;
    uint32_t suspended; /* how often, as far as this process has heard */
};

/* What travels; both word sizes read it. */
struct thread_request {
    uint32_t op, thread_id, value;
};

/* ---- the object ---------------------------------------------------------------------------------
 */

static void destroy(struct ob_object *object)
{
    ob_object_unref(((struct child_thread *)object)->process);
}

static bool signaled(struct ob_object *object, uint32_t thread_id)
{
    struct ob_object *process = ((struct child_thread *)object)->process;
    return process->type->signaled(process, thread_id);
}

static bool acquired(struct ob_object *object, uint32_t thread_id)
{
    return false;
}

const struct ob_type child_thread_type = {
    .name = "Thread",
    .destroy = destroy,
    .signaled = signaled,
    .acquired = acquired,
};

struct ob_object *child_thread_create(struct ob_object *process, uint32_t thread_id, bool suspended)
{
    struct child_thread *thread = ob_object_create(&child_thread_type, sizeof(*thread));
    if (!thread)
        return NULL;
    ob_object_ref(process);
    thread->process = process;
    thread->id = thread_id;
    thread->suspended = suspended;
    return &thread->header;
}

uint32_t child_thread_id(struct ob_object *thread)
{
    return ((struct child_thread *)thread)->id;
}

uint32_t child_thread_process_id(struct ob_object *thread)
{
    return ob_process_id(((struct child_thread *)thread)->process);
}

/* ---- asking -------------------------------------------------------------------------------------
 */

/*
 * Of a process that has ended: its exit code is the thread's. One that is resumed may run and end
 * before its service has answered, so that this is no failure.
 */
static nt_status after_the_end(struct child_thread *thread, enum child_thread_op op,
                               uint32_t *value)
{
    switch (op) {
    case CHILD_THREAD_EXIT_CODE:
        *value = ob_process_exit_code(thread->process);
        return STATUS_SUCCESS;
    case CHILD_THREAD_RESUME:
        *value = __atomic_exchange_n(&thread->suspended, 0, __ATOMIC_RELAXED);
        return STATUS_SUCCESS;
    case CHILD_THREAD_TERMINATE:
        return STATUS_SUCCESS; /* as of a thread of one's own that has ended */
    default:
        return KE_STATUS_THREAD_IS_TERMINATING;
    }
}

static void remember(struct child_thread *thread, enum child_thread_op op, uint32_t previous)
{
    if (op == CHILD_THREAD_SUSPEND)
        __atomic_store_n(&thread->suspended, previous + 1, __ATOMIC_RELAXED);
    else if (op == CHILD_THREAD_RESUME)
        __atomic_store_n(&thread->suspended, previous ? previous - 1 : 0, __ATOMIC_RELAXED);
}

nt_status child_thread_request(struct ob_object *object, enum child_thread_op op, uint32_t *value)
{
    struct child_thread *thread = (struct child_thread *)object;
    struct thread_request body = {op, thread->id, *value};
    struct ob_message request = {
        .request = OB_REQUEST_THREAD, .size = sizeof(body), .bytes = (uint8_t *)&body};
    struct ob_message reply = {0};
    nt_status status = ob_process_call(thread->process, &request, &reply, NULL);
    if (nt_ok(status) && !ob_message_get(&reply, value, sizeof(*value)))
        status = STATUS_UNSUCCESSFUL;
    ob_message_release(&reply);
    if (status == (nt_status)STATUS_PROCESS_IS_TERMINATING)
        return after_the_end(thread, op, value);
    if (nt_ok(status))
        remember(thread, op, *value);
    return status;
}

/* ---- answering ----------------------------------------------------------------------------------
 */

static nt_status perform(struct ob_object *thread, const struct thread_request *request,
                         uint32_t *value)
{
    switch (request->op) {
    case CHILD_THREAD_SUSPEND:
        return ke_thread_suspend(thread, value);
    case CHILD_THREAD_RESUME:
        return ke_thread_resume(thread, value);
    case CHILD_THREAD_TERMINATE:
        return ke_thread_terminate(thread, request->value);
    case CHILD_THREAD_EXIT_CODE:
        *value = ke_thread_exit_code(thread);
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_PARAMETER;
    }
}

static void answer(struct ob_message *message, struct ob_message *reply)
{
    struct thread_request request;
    uint32_t value = 0;
    if (!ob_message_get(message, &request, sizeof(request))) {
        reply->status = STATUS_INVALID_PARAMETER;
        return;
    }
    struct ob_object *thread = ke_thread_by_id(request.thread_id);
    reply->status = thread ? perform(thread, &request, &value) : (nt_status)STATUS_INVALID_CID;
    if (thread)
        ob_object_unref(thread);
    if (nt_ok(reply->status))
        reply->status = ob_message_set(reply, &value, sizeof(value));
}

void child_thread_register(void)
{
    ob_service_register(OB_REQUEST_THREAD, answer);
}
