// Loaded before a client: every TLS connection goes to the loopback port
// CONNECT_PORT, from the address CONNECT_FROM, whatever host and port the URL names, but for
// that to an identity provider on this machine.
// The client itself knows nothing of it and checks the certificate against the name.
import tls from 'node:tls'

const connect = tls.connect
tls.connect = (options, ...rest) =>
  options.host === '127.0.0.1' ? connect(options, ...rest) : connect({
    ...options,
    host: '127.0.0.1',
    port: Number(process.env.CONNECT_PORT),
    localAddress: process.env.CONNECT_FROM,
  }, ...rest)
