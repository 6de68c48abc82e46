/* libfyaml 0.7.12 forgets a buffer of its own on some malformed files; what we leak is still
 * reported. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so\n";
}
