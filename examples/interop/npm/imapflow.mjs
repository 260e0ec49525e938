// Unmodified imapflow signs in with a token, and prints the special-use of the mailboxes and the
// subjects in the INBOX. If the sign-in is refused, it prints the error.
import { ImapFlow } from 'imapflow'

const { HOST, CONNECT_PORT, ACCOUNT, TOKEN } = process.env
const client = new ImapFlow({
  host: HOST,
  port: Number(CONNECT_PORT),
  secure: true,
  auth: { user: ACCOUNT, accessToken: TOKEN },
  logger: false,
})
try {
  await client.connect()
} catch (error) {
  console.log(`refused: ${error.serverResponseCode} ${JSON.stringify(error.oauthError ?? null)}`)
  process.exit(0)
}
for (const mailbox of await client.list()) {
  console.log(`mailbox: ${mailbox.path} ${mailbox.specialUse ?? ''} ${mailbox.specialUseSource ?? ''}`)
}
const lock = await client.getMailboxLock('INBOX')
for await (const message of client.fetch('1:*', { envelope: true })) {
  console.log(`subject: ${message.envelope.subject}`)
}
lock.release()
await client.logout()
