/*
 * RtlUnwind of i386, where frames are records in a chain (ke/chain.h).
 */
#include "loader/ke/chain.h"
#include "loader/win32/ntdll/families.h"

#ifdef __i386__

/*
 * `ip` is not needed: the target frame's handler is what calls this, and goes on from here by
 * itself. The value is what it finds in eax.
 */
static uintptr_t WINAPI_DEF nt_RtlUnwind(struct ke_registration *target, const void *ip,
                                         struct ke_exception_record *record, uintptr_t value)
{
    struct ke_context context = {0};
    ke_capture_context(&context);
    context.Eip = (uintptr_t)__builtin_return_address(0);
    context.Eax = value;
    ke_unwind_frames(target, record, &context);
    return value;
}

const struct ldr_builtin_export ntdll_seh_exports[] = {
    LDR_FN(nt_, RtlUnwind),
};
const size_t ntdll_seh_count = sizeof(ntdll_seh_exports) / sizeof(*ntdll_seh_exports);

#endif
