/*
 * Functions of the C++ runtime about exceptions: throwing, and what programs and other runtimes ask
 * of the exceptions of a thread. Frames are in eh_frame.c.
 */
#include "loader/stack.h"
#include "loader/win32/crt/eh_frame.h"
#include "loader/win32/crt/internal.h"

#define EH_NAME_OF(type) ((const char *)(type) + 2 * sizeof(void *))

/* ---- throwing
 * -----------------------------------------------------------------------------------------------
 */

/* `info` NULL: "throw;". */
static WINAPI_DEF void crt__CxxThrowException(void *object, const void *info)
{
    uintptr_t parameters[] = {EH_MAGIC, (uintptr_t)object, (uintptr_t)info, 0};
    struct eh_image image;
    if (info == NULL && eh_current_catch() != NULL) {
        eh_current_catch()->rethrown = true;
    }
    if (info != NULL && eh_image_at((uintptr_t)info, &image)) {
        parameters[3] = image.base;
    }
    ke_raise_at(EH_CODE, KE_EXCEPTION_NONCONTINUABLE, KE_BY_WORD(4, 3), parameters,
                __builtin_return_address(0));
    eh_terminate("a handler continued a C++ exception");
}

static WINCDECL_DEF void crt___DestructExceptionObject(struct ke_exception_record *record,
                                                       int unused)
{
    if (record != NULL && eh_is_cxx(record)) {
        eh_destroy(record);
    }
}

static WINCDECL_DEF void *crt___AdjustPointer(void *object, const struct eh_displacement *where)
{
    return eh_adjust(object, where);
}

/* ---- filters ------------------------------------------------------------------------------------
 */

/* "throw;" stands for the exception of the innermost catch block. */
static struct ke_exception_record *resolve(struct ke_exception_record *record)
{
    struct eh_record *current = eh_current_catch();
    return eh_is_rethrow(record) && current != NULL ? current->exception : record;
}

/* Whether an exception can be caught as `name`; the type that it is caught as. */
static bool find_type(const struct eh_thrown *thrown, const char *name, struct eh_type *out)
{
    for (uint32_t i = 0; i < thrown->types; i++) {
        const char *its =
            eh_thrown_type(thrown, i, out) ? eh_type_name(&thrown->image, out->descriptor) : NULL;
        if (its != NULL && strcmp(its, name) == 0) {
            return true;
        }
    }
    return false;
}

/* __except of code that catches a C++ type by hand: `type` NULL = every C++ exception. */
STACK_JUMPER static WINCDECL_DEF int32_t crt___CxxExceptionFilter(
    struct ke_exception_pointers *pointers, const void *type, int32_t adjectives, void *variable)
{
    struct eh_thrown thrown;
    struct eh_type as;
    if (pointers == NULL || !eh_is_cxx(pointers->ExceptionRecord)) {
        return KE_CONTINUE_SEARCH;
    }
    struct ke_exception_record *record = resolve(pointers->ExceptionRecord);
    if (type == NULL || *EH_NAME_OF(type) == 0) {
        return KE_EXECUTE_HANDLER;
    }
    if (!eh_thrown_of(record, &thrown) || !find_type(&thrown, EH_NAME_OF(type), &as) ||
        ((as.properties & EH_REFERENCE_ONLY) != 0 && (adjectives & EH_IS_REFERENCE) == 0) ||
        (thrown.attributes & ~(uint32_t)adjectives & 7) != 0) {
        return KE_CONTINUE_SEARCH;
    }
    if (variable != NULL) {
        struct eh_record fence;
        eh_enter_fence(&fence);
        eh_build(variable, (uint32_t)adjectives, &thrown, &as);
        eh_leave(&fence);
    }
    return KE_EXECUTE_HANDLER;
}

static WINCDECL_DEF int crt__is_exception_typeof(const void *type,
                                                 struct ke_exception_pointers *pointers)
{
    struct eh_thrown thrown;
    struct eh_type as;
    return type != NULL && pointers != NULL &&
           eh_thrown_of(resolve(pointers->ExceptionRecord), &thrown) &&
           find_type(&thrown, EH_NAME_OF(type), &as);
}

/* The filter of code that runs while an unwind goes on: a C++ exception may not leave it. */
static WINCDECL_DEF int32_t crt___FrameUnwindFilter(struct ke_exception_pointers *pointers)
{
    if (pointers->ExceptionRecord->ExceptionCode == EH_CODE) {
        eh_terminate("a C++ exception leaves a destructor during another exception");
    }
    return KE_CONTINUE_SEARCH;
}

/* ---- exceptions that a runtime catches by a filter ---------------------------------------------
 */

/* The caller has that many bytes for __CxxRegisterExceptionObject(). */
static WINCDECL_DEF int crt___CxxQueryExceptionSize(void)
{
    return sizeof(struct eh_record);
}

static WINCDECL_DEF int crt___CxxRegisterExceptionObject(struct ke_exception_pointers *pointers,
                                                         struct eh_record *record)
{
    *record = (struct eh_record){.state = EH_NO_STATE};
    record->foreign = pointers == NULL || !eh_is_cxx(resolve(pointers->ExceptionRecord));
    if (pointers != NULL) {
        record->exception = resolve(pointers->ExceptionRecord);
        record->context = pointers->ContextRecord;
    }
    eh_enter_catch(record);
    return 1;
}

static WINCDECL_DEF int crt___CxxDetectRethrow(struct ke_exception_pointers *pointers)
{
    if (pointers == NULL || !eh_is_rethrow(pointers->ExceptionRecord)) {
        return 0;
    }
    pointers->ExceptionRecord = resolve(pointers->ExceptionRecord);
    return 1;
}

static WINCDECL_DEF void crt___CxxUnregisterExceptionObject(struct eh_record *record,
                                                            int was_rethrown)
{
    if (record == NULL || record->self != record) { /* an unwind was here first */
        return;
    }
    if (was_rethrown != 0) {
        eh_leave(record);
    } else {
        eh_leave_catch(record);
    }
}

/* ---- exceptions of the thread
 * -------------------------------------------------------------------------------- */

static WINCDECL_DEF struct eh_frame_info *crt__CreateFrameInfo(struct eh_frame_info *info,
                                                               void *object)
{
    struct eh_frame_info **first = eh_frame_infos();
    *info = (struct eh_frame_info){object, *first};
    *first = info;
    return info;
}

static WINCDECL_DEF void crt__FindAndUnlinkFrame(struct eh_frame_info *info)
{
    for (struct eh_frame_info **at = eh_frame_infos(); *at != NULL; at = &(*at)->next) {
        if (*at == info) {
            *at = info->next;
            return;
        }
    }
}

static WINCDECL_DEF int crt__IsExceptionObjectToBeDestroyed(const void *object)
{
    return eh_is_last(object);
}

static WINCDECL_DEF struct ke_exception_record **crt___current_exception(void)
{
    return eh_current_exception();
}

static WINCDECL_DEF struct ke_context **crt___current_exception_context(void)
{
    return eh_current_context();
}

static WINCDECL_DEF int *crt___processing_throw(void)
{
    return eh_unwinding();
}

static WINCDECL_DEF int crt___uncaught_exceptions(void)
{
    return *eh_unwinding();
}

static WINCDECL_DEF bool crt___uncaught_exception(void)
{
    return *eh_unwinding() != 0;
}

static WINCDECL_DEF void *crt__set_se_translator(void *translator)
{
    void *old = crt_thread()->se_translator;
    crt_thread()->se_translator = translator;
    return old;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_CxxThrowException),
    CRT_FN(__DestructExceptionObject),
    CRT_FN(__AdjustPointer),
    CRT_FN(__CxxExceptionFilter),
    CRT_FN(_is_exception_typeof),
    CRT_FN(__FrameUnwindFilter),
    CRT_FN(__CxxQueryExceptionSize),
    CRT_FN(__CxxRegisterExceptionObject),
    CRT_FN(__CxxDetectRethrow),
    CRT_FN(__CxxUnregisterExceptionObject),
    CRT_FN(_CreateFrameInfo),
    CRT_FN(_FindAndUnlinkFrame),
    CRT_FN(_IsExceptionObjectToBeDestroyed),
    CRT_FN(__current_exception),
    CRT_FN(__current_exception_context),
    CRT_FN(__processing_throw),
    CRT_FN(__uncaught_exceptions),
    CRT_FN(__uncaught_exception),
    CRT_FN(_set_se_translator),
};
CRT_FAMILY(crt_eh_family, functions);
