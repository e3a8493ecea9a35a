def main(): print('sunny')
