/*
 * DuplicateHandle between processes (Microsoft's documentation of DuplicateHandle and
 * NtDuplicateObject): the object travels in a parcel from the process that has the handle to the
 * one that gets it, whoever asks.
 */
#include "loader/ob/duplicate.h"

#include <unistd.h>

#include "loader/ob/process_object.h"

#define CURRENT_PROCESS_HANDLE 0xFFFFFFFFu
#define PROCESS_ALL_ACCESS     0x1FFFFFu

/* Precede the parcel where there is one; alike in both word sizes. */
struct handle_words {
    uint32_t handle;
    uint32_t access;
    uint32_t flags;
    uint32_t options;
};

/* What a handle is. */
struct source {
    struct ob_object *object; /* a reference */
    uint32_t access, flags;
};

/* ---- this process's side ------------------------------------------------------------------------
 */

static nt_status look_up(uint32_t handle, struct source *source)
{
    *source = (struct source){.access = PROCESS_ALL_ACCESS};
    if (handle == CURRENT_PROCESS_HANDLE) {
        source->object = ob_process_current();
        return source->object ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
    }
    nt_status status = ob_handle_get(handle, NULL, &source->object, &source->access);
    if (nt_ok(status))
        ob_handle_flags(handle, 0, 0, &source->flags);
    return status;
}

static nt_status create(struct ob_object *object, uint32_t access, uint32_t flags, uint32_t *target)
{
    uint32_t handle = ob_handle_create(object, access, flags);
    if (!handle)
        return STATUS_NO_MEMORY;
    if (target)
        *target = handle;
    return STATUS_SUCCESS;
}

/* A handle here to what came from another process. Takes the parcel's descriptors. */
static nt_status receive(const struct ob_parcel *parcel, uint32_t access, uint32_t flags,
                         uint32_t *target, struct pe_error *err)
{
    struct ob_object *object;
    nt_status status = ob_unpack(parcel, &object, err);
    if (!nt_ok(status))
        return status;
    status = create(object, access, flags, target);
    ob_object_unref(object);
    return status;
}

/* ---- the service's side -------------------------------------------------------------------------
 */

void ob_answer_duplicate_in(struct ob_message *request, struct ob_message *reply)
{
    struct handle_words words;
    struct ob_parcel parcel;
    reply->status = STATUS_INVALID_PARAMETER;
    if (!ob_message_get(request, &words, sizeof words) ||
        !nt_ok(ob_message_take_parcel(request, sizeof words, &parcel)))
        return;
    if (ob_process_is_ending()) {
        ob_parcel_discard(&parcel);
        reply->status = STATUS_PROCESS_IS_TERMINATING;
        return;
    }
    reply->status = receive(&parcel, words.access, words.flags, &words.handle, NULL);
    if (!nt_ok(reply->status))
        return;
    reply->status = ob_message_set(reply, &words, sizeof words);
    if (!nt_ok(reply->status))
        ob_handle_close(words.handle);
}

void ob_answer_duplicate_out(struct ob_message *request, struct ob_message *reply)
{
    struct handle_words words;
    struct ob_parcel parcel;
    struct source source;
    reply->status = STATUS_INVALID_PARAMETER;
    if (!ob_message_get(request, &words, sizeof words))
        return;
    reply->status = look_up(words.handle, &source);
    if (!nt_ok(reply->status))
        return;
    words.access = source.access;
    words.flags = source.flags;
    reply->status = ob_pack(source.object, &parcel, NULL);
    if (nt_ok(reply->status)) {
        reply->status = ob_message_set(reply, &words, sizeof words);
        if (nt_ok(reply->status))
            reply->status = ob_message_put_parcel(reply, &parcel);
        else
            ob_parcel_discard(&parcel);
    }
    ob_object_unref(source.object);
    if (words.options & OB_DUPLICATE_CLOSE_SOURCE)
        ob_handle_close(words.handle);
}

void ob_answer_close(struct ob_message *request, struct ob_message *reply)
{
    struct handle_words words;
    reply->status = STATUS_INVALID_PARAMETER;
    if (ob_message_get(request, &words, sizeof words))
        reply->status = ob_handle_close(words.handle);
}

/* ---- the asking side ----------------------------------------------------------------------------
 */

static nt_status close_remote(struct ob_object *process, uint32_t handle, struct pe_error *err)
{
    const struct handle_words words = {.handle = handle};
    struct ob_message request = {.request = OB_REQUEST_CLOSE}, reply;
    nt_status status = ob_message_set(&request, &words, sizeof words);
    if (!nt_ok(status))
        return status;
    status = ob_process_call(process, &request, &reply, err);
    ob_message_release(&request);
    ob_message_release(&reply);
    return status;
}

/* Takes the parcel's descriptors. */
static nt_status send_in(struct ob_object *process, struct ob_parcel *parcel, uint32_t access,
                         uint32_t flags, uint32_t *target, struct pe_error *err)
{
    struct handle_words words = {.access = access, .flags = flags};
    struct ob_message request = {.request = OB_REQUEST_DUPLICATE_IN}, reply;
    nt_status status = ob_message_set(&request, &words, sizeof words);
    if (!nt_ok(status)) {
        ob_parcel_discard(parcel);
        return status;
    }
    status = ob_message_put_parcel(&request, parcel);
    if (nt_ok(status)) {
        status = ob_process_call(process, &request, &reply, err);
        if (nt_ok(status) && !ob_message_get(&reply, &words, sizeof words))
            status = pe_fail(err, STATUS_INVALID_PARAMETER, "a malformed answer of a process");
        if (nt_ok(status) && target)
            *target = words.handle;
        ob_message_release(&reply);
    }
    ob_message_release(&request);
    return status;
}

static nt_status fetch_out(struct ob_object *process, struct handle_words *words,
                           struct ob_parcel *parcel, struct pe_error *err)
{
    struct ob_message request = {.request = OB_REQUEST_DUPLICATE_OUT}, reply;
    nt_status status = ob_message_set(&request, words, sizeof *words);
    if (!nt_ok(status))
        return status;
    status = ob_process_call(process, &request, &reply, err);
    if (nt_ok(status) && (!ob_message_get(&reply, words, sizeof *words) ||
                          !nt_ok(ob_message_take_parcel(&reply, sizeof *words, parcel))))
        status = pe_fail(err, STATUS_INVALID_PARAMETER, "a malformed answer of a process");
    ob_message_release(&request);
    ob_message_release(&reply);
    return status;
}

nt_status ob_duplicate_object(struct ob_object *object, struct ob_object *target_process,
                              uint32_t *target, uint32_t access, uint32_t flags,
                              struct pe_error *err)
{
    struct ob_parcel parcel;
    if (ob_process_is_current(target_process))
        return create(object, access, flags, target);
    nt_status status = ob_pack(object, &parcel, err);
    return nt_ok(status) ? send_in(target_process, &parcel, access, flags, target, err) : status;
}

static nt_status duplicate_own(uint32_t handle, struct ob_object *target_process, uint32_t *target,
                               uint32_t access, uint32_t flags, uint32_t options,
                               struct pe_error *err)
{
    struct source source;
    nt_status status = look_up(handle, &source);
    if (!nt_ok(status))
        return status;
    if (options & OB_DUPLICATE_SAME_ACCESS)
        access = source.access;
    if (options & OB_DUPLICATE_SAME_ATTRIBUTES)
        flags = source.flags;
    status = ob_duplicate_object(source.object, target_process, target, access, flags, err);
    ob_object_unref(source.object);
    if (options & OB_DUPLICATE_CLOSE_SOURCE)
        ob_handle_close(handle);
    return status;
}

nt_status ob_duplicate(struct ob_object *source_process, uint32_t source,
                       struct ob_object *target_process, uint32_t *target, uint32_t access,
                       uint32_t flags, uint32_t options, struct pe_error *err)
{
    struct handle_words words = {.handle = source, .options = options};
    struct ob_parcel parcel;
    bool is_own = ob_process_is_current(source_process);
    if (!target_process && !(options & OB_DUPLICATE_CLOSE_SOURCE))
        return STATUS_INVALID_PARAMETER;
    if (!target_process)
        return is_own ? ob_handle_close(source) : close_remote(source_process, source, err);
    if (is_own)
        return duplicate_own(source, target_process, target, access, flags, options, err);

    nt_status status = fetch_out(source_process, &words, &parcel, err);
    if (!nt_ok(status))
        return status;
    if (options & OB_DUPLICATE_SAME_ACCESS)
        access = words.access;
    if (options & OB_DUPLICATE_SAME_ATTRIBUTES)
        flags = words.flags;
    if (ob_process_is_current(target_process))
        return receive(&parcel, access, flags, target, err);
    return send_in(target_process, &parcel, access, flags, target, err);
}
