/*
 * bcryptprimitives.dll: ProcessPrng, the system's random number generator. Go and Rust take their
 * seeds from it (facts, win32-called).
 */
#include "loader/win32/random.h"
#include "loader/win32/smalldlls.h"

/* Documented never to fail. */
static BOOL WINAPI_DEF bcp_ProcessPrng(BYTE *buffer, SIZE_T size)
{
    return win32_random(buffer, size);
}

const struct ldr_builtin_export bcryptprimitives_exports[] = {LDR_FN(bcp_, ProcessPrng)};
const size_t bcryptprimitives_count =
    sizeof(bcryptprimitives_exports) / sizeof(*bcryptprimitives_exports);
