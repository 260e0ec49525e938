// nodemailer, unmodified: sends a message to its own account, signed in with a token. It prints
// how a refused sign-in is reported.
import nodemailer from 'nodemailer'

const { HOST, CONNECT_PORT, CONNECT_FROM, ACCOUNT, TOKEN } = process.env
const transport = nodemailer.createTransport({
  host: '127.0.0.1', // it looks up every other name itself
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
