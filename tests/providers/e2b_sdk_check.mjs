// The official SDK against the test server: what it expects of the service is
// what our client may expect, too. Prints "ok NAME" for each step and "done".
//     node e2b_sdk_check.mjs SDK_DIRECTORY
import assert from 'node:assert'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(path.resolve(process.argv[2]) + '/')
const e2b = require('e2b')
const { Sandbox } = e2b

async function step(name, run) {
  await run()
  console.log('ok', name)
}

async function fails(kind, run) {
  let failed
  try { await run() } catch (e) { failed = e }
  assert(failed, 'it went well')
  assert(failed instanceof kind, `${failed.constructor.name}: ${failed}`)
  return failed
}

const box = await Sandbox.create('base', {
  timeoutMs: 120000, metadata: { a: 'b c' }, envs: { FOO: 'bar' },
})

await step('running', async () => {
  assert.equal(await box.isRunning(), true)
})

await step('files', async () => {
  const text = await box.files.write('dir/a.txt', 'hello')
  assert.equal(text.name, 'a.txt')
  assert.equal(await box.files.read('dir/a.txt'), 'hello')
  const bytes = new Uint8Array([0, 255, 10, 13])
  await box.files.write('raw', bytes.buffer, { useOctetStream: true })
  assert.deepEqual(await box.files.read('raw', { format: 'bytes' }), bytes)
  await box.files.write('zip', 'squeezed', { gzip: true })
  assert.equal(await box.files.read('zip', { gzip: true }), 'squeezed')
  await box.files.write([{ path: 'm1', data: '1' }, { path: 'm2', data: '2' }])
  assert.equal(await box.files.read('m2'), '2')
  assert.equal(await box.files.makeDir('dir/sub'), true)
  assert.equal(await box.files.makeDir('dir/sub'), false)
  const names = (await box.files.list('dir')).map((e) => [e.name, e.type])
  assert.deepEqual(names, [['a.txt', 'file'], ['sub', 'dir']])
  const moved = await box.files.rename('dir/a.txt', 'dir/b.txt')
  assert.equal(moved.name, 'b.txt')
  assert.equal(await box.files.exists('dir/a.txt'), false)
  const info = await box.files.getInfo('dir/b.txt')
  assert.equal(info.size, 5)
  assert.equal(info.mode, 0o644)
  await box.files.remove('dir')
  await fails(e2b.NotFoundError, () => box.files.read('dir/b.txt'))
  await fails(e2b.NotFoundError, () => box.files.list('dir'))
})

await step('commands', async () => {
  const run = (c, o) => box.commands.run(c, o)
  let r = await run('echo $FOO $BAR; pwd; echo no >&2',
    { envs: { BAR: 'x' }, cwd: '/tmp' })
  assert.equal(r.stdout, 'bar x\n/tmp\n')
  assert.equal(r.stderr, 'no\n')
  const failed = await fails(e2b.CommandExitError, () => run('exit 7'))
  assert.equal(failed.exitCode, 7)
  r = await run('seq 1 20000', { timeoutMs: 0 })
  assert.equal(r.stdout.split('\n').length, 20001)
  await fails(e2b.InvalidArgumentError, () => run('true', { cwd: '/no/where' }))
  await fails(e2b.TimeoutError, () => run('sleep 60', { timeoutMs: 500 }))
})

await step('stdin, background, list, kill, connect', async () => {
  let got = ''
  const cat = await box.commands.run('cat', {
    background: true, stdin: true, onStdout: (d) => { got += d },
  })
  await box.commands.sendStdin(cat.pid, 'one\n')
  await box.commands.sendStdin(cat.pid, 'two\n')
  await cat.closeStdin()
  assert.equal((await cat.wait()).exitCode, 0)
  assert.equal(got, 'one\ntwo\n')
  const sleeper = await box.commands.run('sleep 600', { background: true })
  assert((await box.commands.list()).some((p) => p.pid === sleeper.pid))
  const other = await box.commands.connect(sleeper.pid)
  assert.equal(await box.commands.kill(sleeper.pid), true)
  await fails(e2b.CommandExitError, () => sleeper.wait())
  await fails(e2b.CommandExitError, () => other.wait())
  assert.equal(await box.commands.kill(999999999), false)
})

await step('watch', async () => {
  await box.files.makeDir('watched')
  const seen = []
  let wake
  const watcher = await box.files.watchDir('watched', (e) => {
    seen.push(e)
    if (wake && e.name === 'new.txt') wake()
  }, { recursive: true })
  const waited = new Promise((done) => { wake = done })
  await box.files.write('watched/new.txt', 'x')
  await waited
  await watcher.stop()
  assert(seen.some((e) => e.name === 'new.txt' && e.type === 'create'))
})

await step('life', async () => {
  const before = Date.now()
  await box.setTimeout(600000)
  const info = await box.getInfo()
  assert.equal(info.sandboxId, box.sandboxId)
  assert(info.endAt.getTime() >= before + 599000)
  const page = await Sandbox.list({ query: { metadata: { a: 'b c' } } })
    .nextItems()
  assert(page.some((b) => b.sandboxId === box.sandboxId))
  const none = await Sandbox.list({ query: { metadata: { a: 'c' } } })
    .nextItems()
  assert.equal(none.length, 0)
})

await step('pause and connect', async () => {
  await box.files.write('kept', 'yes')
  assert.equal(await box.pause(), true)
  assert.equal(await box.isRunning(), false)
  assert.equal((await box.getInfo()).state, 'paused')
  const again = await Sandbox.connect(box.sandboxId, { timeoutMs: 90000 })
  assert.equal(await again.files.read('kept'), 'yes')
})

await step('errors', async () => {
  await fails(e2b.AuthenticationError,
    () => Sandbox.create('base', { apiKey: 'e2b_' + 'f'.repeat(40) }))
  await fails(e2b.NotFoundError, () => Sandbox.connect('inosuchbox'))
})

await step('kill', async () => {
  assert.equal(await box.kill(), true)
  assert.equal(await box.kill(), false)
  assert.equal(await box.isRunning(), false)
})

console.log('done')
