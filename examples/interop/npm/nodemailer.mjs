// Unmodified nodemailer signs in with a token and sends a message to its own account. If the
// sign-in is refused, it prints the error.
import nodemailer from 'nodemailer'

const { HOST, CONNECT_PORT, CONNECT_FROM, ACCOUNT, TOKEN } = process.env
const transport = nodemailer.createTransport({
  host: '127.0.0.1', // it would look up any other name itself
  port: Number(CONNECT_PORT),
  localAddress: CONNECT_FROM,
  tls: { servername: HOST },
  secure: true,
  auth: { type: 'OAuth2', user: ACCOUNT, accessToken: TOKEN },
})
try {
  const sent = await transport.sendMail({ from: ACCOUNT, to: ACCOUNT, subject: 'sent', text: 'sent with a token' })
  console.log(`sent: ${sent.response}`)
} catch (error) {
  console.log(`refused: ${error.code} ${error.responseCode} ${error.response}`)
}
transport.close()
